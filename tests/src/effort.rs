//! How much work random tests do.

/// How many cases a property gets: `usual` ones, times `CASES_TIMES` where that is set.
///
/// `.ci/long` sets it; proptest's own `PROPTEST_CASES` would make all properties alike, although
/// their cases differ a hundredfold in what they cost.
///
/// # Panics
///
/// Where `CASES_TIMES` is not a number: better than a long run that was none.
#[must_use]
pub fn cases(usual: u32) -> u32 {
    let Ok(times) = std::env::var("CASES_TIMES") else { return usual };
    let times: u32 = times.parse().unwrap_or_else(|_| panic!("CASES_TIMES is {times}, no number"));
    usual.saturating_mul(times)
}
