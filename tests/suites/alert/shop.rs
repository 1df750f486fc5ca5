//! What the rules look at: a shop with counters, gauges and a histogram, each of which can be gone.

use turbopump_core::alert::{Engine, Limits, Rule, State};
use turbopump_core::descriptor;
use turbopump_core::stats::{
    Descriptor, Kind, LatencyHistogram, Samples, Source, Unit, VisitError,
};
use turbopump_core::time::{Instant, Now};

static SENT: Descriptor = descriptor!(Kind::Counter, "shop_sent_total", "Sent.");
static MEMORY: Descriptor =
    descriptor!(Kind::Gauge, "shop_memory_bytes", "Memory in use.", Unit::BYTES);
static LIMIT: Descriptor =
    descriptor!(Kind::Gauge, "shop_memory_limit_bytes", "Memory there is.", Unit::BYTES);
static RATIO: Descriptor =
    descriptor!(Kind::FloatGauge, "shop_hit_ratio", "Hit rate.", Unit::RATIO);
static LATENCY: Descriptor =
    descriptor!(Kind::Histogram, "shop_latency_seconds", "Latency.", Unit::MICROSECONDS);
static FAMILIES: [&Descriptor; 5] = [&SENT, &MEMORY, &LIMIT, &RATIO, &LATENCY];

#[derive(Clone, Debug, Default)]
pub(crate) struct Shop {
    pub(crate) sent_ok: u64,
    pub(crate) sent_error: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) limit: Option<u64>,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) latency_us: LatencyHistogram,
    /// Shows no latencies.
    pub(crate) latency_gone: bool,
    /// Shows nothing at all.
    pub(crate) hidden: bool,
    /// Shows a sample of the wrong kind after all others.
    pub(crate) broken: bool,
}

impl Source for Shop {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        if self.hidden {
            return Ok(());
        }
        samples.counter(&SENT, &[("result", "ok")], self.sent_ok)?;
        if let Some(errors) = self.sent_error {
            samples.counter(&SENT, &[("result", "error")], errors)?;
        }
        for (family, bytes) in [(&MEMORY, self.memory), (&LIMIT, self.limit)] {
            if let Some(bytes) = bytes {
                samples.gauge(family, &[], bytes)?;
            }
        }
        if let Some(ratio) = self.hit_ratio {
            samples.float_gauge(&RATIO, &[], ratio)?;
        }
        if !self.latency_gone {
            samples.histogram(&LATENCY, &[], &self.latency_us)?;
        }
        if self.broken { samples.gauge(&SENT, &[("result", "odd")], 1) } else { Ok(()) }
    }
}

/// So many seconds after the start.
pub(crate) fn at(second: u64) -> Now {
    at_us(second * 1_000_000)
}

/// So many microseconds after the start.
pub(crate) fn at_us(us: u64) -> Now {
    Now::new(Instant::from_us(us), 1_700_000_000_000 + us / 1_000)
}

/// An engine with room for all.
pub(crate) fn engine<T: AsRef<str>>(
    rules: impl IntoIterator<Item = Rule<T>>,
) -> Engine<'static, T> {
    Engine::with_rules(rules, 512, Limits { history_points: 12, buckets: 256 }).unwrap()
}

/// What changed: from, to, value.
pub(crate) type Change = (State, State, Option<f64>);

pub(crate) fn evaluate<T: AsRef<str>>(
    engine: &mut Engine<'_, T>,
    now: Now,
    source: &dyn Source,
) -> Vec<Change> {
    let changes = engine.evaluate(now, &[source], &[]).unwrap();
    changes.map(|change| (change.from, change.to, change.value)).collect()
}
