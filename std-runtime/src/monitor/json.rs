//! Numbers as JSON.
//!
//! `{"at_unix_ms": N, "families": [{"name", "kind", "unit", "help", "series": [..]}]}`, where a
//! series has `labels` and either `value`, or `count`, `sum`, `buckets` (pairs of upper bound,
//! `null` for no bound, and how many values lie at or below it) and the quantiles `p50`, `p90` and
//! `p99` (`null` where nothing was observed). Values are in the family's unit: seconds, bytes.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use turbopump_core::stats::{Descriptor, Distribution, Labels, Series, Unit, VisitError, Visitor};

use super::sources::Snapshot;

/// All numbers of a snapshot.
///
/// # Errors
///
/// [`VisitError`] of a source.
pub(super) fn of_snapshot(
    snapshot: &Snapshot,
    labels: &[(&str, &str)],
) -> Result<String, VisitError> {
    let mut collected = Collected::default();
    snapshot.visit_with(labels, &mut collected)?;
    let document = Document { at_unix_ms: snapshot.now().unix_ms, families: collected.families };
    // Nothing in it can fail: keys are strings, and numbers that JSON can't say are null.
    Ok(serde_json::to_string(&document).unwrap_or_default())
}

#[derive(Serialize)]
struct Document {
    at_unix_ms: u64,
    families: Vec<Family>,
}

#[derive(Serialize)]
struct Family {
    name: &'static str,
    kind: &'static str,
    unit: &'static str,
    help: &'static str,
    series: Vec<OneSeries>,
}

#[derive(Serialize)]
struct OneSeries {
    labels: LabelMap,
    #[serde(flatten)]
    value: Value,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    One { value: f64 },
    Distribution(Histogram),
}

#[derive(Serialize)]
struct Histogram {
    count: u64,
    sum: f64,
    buckets: Vec<(Option<f64>, u64)>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

struct LabelMap(Vec<(String, String)>);

impl LabelMap {
    fn of(labels: &Labels<'_>) -> Self {
        Self(labels.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for LabelMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Default)]
struct Collected {
    families: Vec<Family>,
}

impl Collected {
    fn add(&mut self, series: &Series<'_>, value: Value) -> Result<(), VisitError> {
        let labels = LabelMap::of(&series.labels);
        if let Some(family) = self.families.last_mut() {
            family.series.push(OneSeries { labels, value });
        }
        Ok(())
    }
}

impl Visitor for Collected {
    fn begin_family(&mut self, family: &'static Descriptor) -> Result<(), VisitError> {
        self.families.push(Family {
            name: family.name(),
            kind: family.kind().as_str(),
            unit: family.unit().name(),
            help: family.help(),
            series: Vec::new(),
        });
        Ok(())
    }

    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        let value = series.family.unit().scale(value as f64);
        self.add(series, Value::One { value })
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        let value = series.family.unit().scale(value as f64);
        self.add(series, Value::One { value })
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        self.add(series, Value::One { value })
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        self.add(series, Value::Distribution(histogram(value, series.family.unit())))
    }
}

fn histogram(value: &dyn Distribution, unit: Unit) -> Histogram {
    let mut count = 0;
    let buckets = (0..value.buckets()).map(|index| {
        let bucket = value.bucket(index);
        count += bucket.count;
        (bucket.upper.map(|upper| unit.scale(upper as f64)), count)
    });
    let buckets = buckets.collect();
    let quantile = |q| value.quantile(q).map(|value| unit.scale(value));
    Histogram {
        count,
        sum: unit.scale(value.sum() as f64),
        buckets,
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
    }
}
