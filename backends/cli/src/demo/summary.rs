//! What a run amounts to, for people and for scripts.

use core::fmt;
use core::time::Duration;

use serde::Serialize;

use turbopump::core::stats::Distribution;

use super::checker::Found;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// `tokio` or `smol`.
    pub(crate) backend: &'static str,
    pub(crate) input: String,
    /// Messages that were handed to the sender.
    pub(crate) sent: u64,
    /// Messages that were read back after a restart of the broker, each counted once.
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Messages that came as something else than what was sent.
    pub(crate) damaged: u64,
    /// Messages that were given up after all retries.
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    /// Stopped by the user.
    pub(crate) is_interrupted: bool,
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) batches: u64,
    pub(crate) messages_per_batch: f64,
    pub(crate) pool_hit_ratio: f64,
    /// In the middle of the run, from its first tenth to its last.
    pub(crate) allocations_per_message: f64,
    /// Bodies that are long enough to be compressed, before and after.
    pub(crate) plain_bytes: u64,
    pub(crate) wire_bytes: u64,
    /// Everything in the broker's folder.
    pub(crate) store_bytes: u64,
    pub(crate) monitor: Option<String>,
}

/// Where a message has to be in the end, and how it got there.
pub(crate) struct Checked<'f> {
    pub(crate) on_arrival: &'f Found,
    pub(crate) on_disk: &'f Found,
}

impl Summary {
    /// Whether every message that was sent is on disk, once, in order and as it was.
    pub(crate) fn is_flawless(&self) -> bool {
        [self.lost, self.duplicated, self.out_of_order, self.damaged, self.failed] == [0; 5]
    }

    /// Sets what the two checks have found.
    pub(crate) fn add_checks(&mut self, checked: &Checked<'_>) {
        let Checked { on_arrival, on_disk } = checked;
        self.received = on_disk.received;
        self.lost = self.sent.saturating_sub(on_disk.received.min(on_arrival.received));
        self.duplicated = on_arrival.duplicated.max(on_disk.duplicated);
        self.out_of_order = on_arrival.out_of_order.max(on_disk.out_of_order);
        self.damaged = on_arrival.damaged.max(on_disk.damaged);
        let quantile = |q| on_arrival.latency_us.quantile(q).map_or(0, |us| us as u64);
        (self.p50_us, self.p99_us, self.p999_us) = (quantile(0.5), quantile(0.99), quantile(0.999));
    }

    pub(crate) fn set_time(&mut self, time: Duration, bytes: u64) {
        self.seconds = time.as_secs_f64();
        self.messages_per_second = per(self.sent as f64, self.seconds);
        self.bytes_per_second = per(bytes as f64, self.seconds);
    }
}

/// A quotient; 0 of nothing.
pub(crate) fn per(dividend: f64, divisor: f64) -> f64 {
    if divisor > 0.0 { dividend / divisor } else { 0.0 }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let saved = 1.0 - per(self.wire_bytes as f64, self.plain_bytes as f64);
        let saved = 100.0 * saved;
        let verdict = match (self.is_flawless(), self.is_interrupted) {
            (true, false) => "nothing lost, duplicated, damaged or out of order",
            (true, true) => "interrupted; of what was sent, nothing is missing or out of order",
            (false, _) => "NOT FLAWLESS",
        };
        writeln!(f, "{verdict}")?;
        writeln!(f, "  input        {}", self.input)?;
        writeln!(
            f,
            "  messages     {} sent, {} read back after a restart, {} lost, {} duplicated, {} out \
             of order",
            grouped(self.sent),
            grouped(self.received),
            self.lost,
            self.duplicated,
            self.out_of_order
        )?;
        if self.damaged + self.failed + self.retried > 0 {
            let (damaged, failed, retried) = (self.damaged, self.failed, self.retried);
            writeln!(f, "               {damaged} damaged, {failed} given up, {retried} retried")?;
        }
        writeln!(
            f,
            "  rate         {} messages/s, {:.1} MB/s, in {:.2} s on {}",
            grouped(self.messages_per_second as u64),
            self.bytes_per_second / 1e6,
            self.seconds,
            self.backend
        )?;
        writeln!(
            f,
            "  latency      {} p50, {} p99, {} p99.9, from sender to arrival",
            time(self.p50_us),
            time(self.p99_us),
            time(self.p999_us)
        )?;
        writeln!(
            f,
            "  batches      {} of {:.0} messages on average",
            grouped(self.batches),
            self.messages_per_batch
        )?;
        writeln!(
            f,
            "  memory       {:.2} % of buffers from the pool's right class, {:.4} allocations a \
             message",
            100.0 * self.pool_hit_ratio,
            self.allocations_per_message
        )?;
        if self.plain_bytes > 0 {
            writeln!(
                f,
                "  compression  {:.1} MB of long bodies became {:.1} MB, {saved:.0} % saved",
                self.plain_bytes as f64 / 1e6,
                self.wire_bytes as f64 / 1e6
            )?;
        }
        write!(f, "  store        {:.1} MB on disk", self.store_bytes as f64 / 1e6)
    }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_have_units() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7, 1_500, 2_000_000].map(time), ["7 us", "1.5 ms", "2.00 s"]);
    }
}
