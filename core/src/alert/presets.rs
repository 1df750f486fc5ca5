//! Rules that most programs want, to be adjusted and built.

use super::expression::{Expression, Operator, Selector, Term};
use super::rule::{Rule, RuleBuilder, Severity};

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// Memory use above 80 % for 5 minutes: `used` divided by `limit`, both in the same unit.
///
/// ```
/// use turbopump_core::alert::{RuleError, Selector, presets};
///
/// let used = Selector::new("app_memory_bytes");
/// let limit = Selector::new("app_memory_limit_bytes");
/// let rule = presets::memory_use(used, limit).build()?;
/// assert_eq!(rule.to_string(), "app_memory_bytes / app_memory_limit_bytes > 0.8 for 300s");
/// # Ok::<(), RuleError>(())
/// ```
pub fn memory_use<T: From<&'static str>>(used: Selector<T>, limit: Selector<T>) -> RuleBuilder<T> {
    let share = Expression::ratio(Term::value(used), Term::value(limit));
    Rule::when("memory_use".into(), share, Operator::Above, 0.8)
        .for_us(5 * MINUTE_US)
        .severity(Severity::Warning)
        .description("More than 80 % of the memory has been in use for 5 minutes.".into())
}

/// Error rate above 5 % for 1 minute: the increase of `failed` within a minute divided by that of
/// `all`, which includes the failed.
///
/// ```
/// use turbopump_core::alert::{RuleError, Selector, presets};
///
/// let failed = Selector::new("app_sent_total").with("result", "error");
/// let rule = presets::error_rate(failed, Selector::new("app_sent_total")).build()?;
/// assert_eq!(rule.name(), "error_rate");
/// # Ok::<(), RuleError>(())
/// ```
pub fn error_rate<T: From<&'static str>>(failed: Selector<T>, all: Selector<T>) -> RuleBuilder<T> {
    let share =
        Expression::ratio(Term::increase(failed, MINUTE_US), Term::increase(all, MINUTE_US));
    Rule::when("error_rate".into(), share, Operator::Above, 0.05)
        .for_us(MINUTE_US)
        .severity(Severity::Critical)
        .description("More than 5 % of the operations have failed for a minute.".into())
}

/// Average latency above 100 ms for 2 minutes: what the histogram `metric` (in seconds) gathered
/// within a minute, sum divided by count.
///
/// ```
/// use turbopump_core::alert::{RuleError, presets};
///
/// let rule = presets::average_latency("app_send_duration_seconds").build()?;
/// assert_eq!(
///     rule.to_string(),
///     "rate(app_send_duration_seconds_sum[60s]) / rate(app_send_duration_seconds_count[60s]) \
///      > 0.1 for 120s"
/// );
/// # Ok::<(), RuleError>(())
/// ```
pub fn average_latency<T: From<&'static str> + Clone>(metric: T) -> RuleBuilder<T> {
    let average = Expression::ratio(
        Term::rate(Selector::sum_of(metric.clone()), MINUTE_US),
        Term::rate(Selector::count_of(metric), MINUTE_US),
    );
    Rule::when("average_latency".into(), average, Operator::Above, 0.1)
        .for_us(2 * MINUTE_US)
        .severity(Severity::Warning)
        .description("The average latency has been above 100 ms for 2 minutes.".into())
}

/// Nothing counted by `counter` within `window_us`, such as "nothing sent for 2 minutes".
///
/// The window is the waiting time, so the rule fires as soon as the counter has stood still for
/// that long, and not before it has been there for that long.
///
/// ```
/// use turbopump_core::alert::{RuleError, Selector, presets};
///
/// let sent = Selector::new("app_sent_total");
/// let rule = presets::nothing_counted("nothing_sent", sent, 120_000_000).build()?;
/// assert_eq!(rule.to_string(), "increase(app_sent_total[120s]) == 0");
/// # Ok::<(), RuleError>(())
/// ```
pub fn nothing_counted<T: From<&'static str>>(
    name: T,
    counter: Selector<T>,
    window_us: u64,
) -> RuleBuilder<T> {
    Rule::when(name, Term::increase(counter, window_us), Operator::Equal, 0.0)
        .severity(Severity::Critical)
        .description("Nothing has been counted for the whole window.".into())
}

/// No series matches `selector`: whatever should show it is not there.
///
/// ```
/// use turbopump_core::alert::{RuleError, Selector, presets};
///
/// let rule = presets::absent("no_pool", Selector::new("app_pool_bytes")).build()?;
/// assert_eq!(rule.to_string(), "absent(app_pool_bytes) == 1 for 60s");
/// # Ok::<(), RuleError>(())
/// ```
pub fn absent<T: From<&'static str>>(name: T, selector: Selector<T>) -> RuleBuilder<T> {
    Rule::when(name, Expression::absent(selector), Operator::Equal, 1.0)
        .for_us(MINUTE_US)
        .description("A metric that should be there is missing.".into())
}
