//! Text formats: what is visited, written to any [`core::fmt::Write`].
//!
//! | function | format | specification |
//! | --- | --- | --- |
//! | [`write_prometheus`] | Prometheus text 0.0.4 | Prometheus documentation, "Exposition" |
//! | [`write_openmetrics`] | OpenMetrics text 1.0 | OpenMetrics specification 1.0 |
//! | [`write_influx`] | InfluxDB line protocol | InfluxDB 1.x documentation, "Line protocol" |
//!
//! Each decides on names, numbers and escaping, and leaves transport, compression and content type
//! to its caller ([`PROMETHEUS_CONTENT_TYPE`], [`OPENMETRICS_CONTENT_TYPE`]). Nothing is buffered:
//! the sink sees many small writes.

mod influx;
mod prometheus;
mod sink;
#[cfg(test)]
mod tests;

pub use influx::write_influx;
pub use prometheus::{
    OPENMETRICS_CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE, write_openmetrics, write_prometheus,
};
pub use sink::{TextBuffer, TextLength};

use core::fmt;

/// Writes `text` with a replacement for every byte that `replace` has one for.
///
/// Only ASCII bytes may be replaced, so the pieces between them are whole characters.
fn write_replacing<W: fmt::Write + ?Sized>(
    sink: &mut W,
    text: &str,
    replace: impl Fn(u8) -> Option<&'static str>,
) -> fmt::Result {
    let mut rest = text;
    let mut at = 0;
    while let Some(&byte) = rest.as_bytes().get(at) {
        match replace(byte).filter(|_| byte.is_ascii()) {
            None => at += 1,
            Some(replacement) => {
                sink.write_str(&rest[..at])?;
                sink.write_str(replacement)?;
                rest = &rest[at + 1..];
                at = 0;
            }
        }
    }
    sink.write_str(rest)
}
