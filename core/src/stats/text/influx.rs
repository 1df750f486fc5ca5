//! InfluxDB line protocol.

use core::fmt;

use super::super::decimal::{Decimal, write_float};
use super::super::distribution::Distribution;
use super::super::labels::{LABELS_MAX, Labels};
use super::super::visit::{Series, Source, VisitError, Visitor};
use super::super::walk::visit_all;
use super::write_replacing;

/// The last instant that InfluxDB takes, in nanoseconds.
const UNIX_NS_MAX: u64 = 9_223_372_036_854_775_806;

/// The quantiles that are written of a histogram.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// Writes `sources` as lines of InfluxDB's protocol, `labels` added to every sample, all at
/// `unix_ns` (nanoseconds since 1970; what is beyond the year 2262 sticks there).
///
/// - Measurement: the family's [name](crate::stats::Descriptor::name). Tags: the labels, sorted.
/// - Counters and gauges have one field, `value`. Histograms have `count`, `sum`, `min`, `max`,
///   `p50`, `p90`, `p99`, `p999` (of all values since the start; left out while there are none)
///   and the cumulated count of every exported bucket under its bound, as `1.0` or `+Inf`.
/// - A field's type never changes, or InfluxDB would refuse later points. Counts, and values whose
///   unit isn't shifted, are signed integers (suffix `i`; the unsigned `u` is not understood by
///   InfluxDB 1.x), and stick at 2^63 - 1. Shifted values, float gauges and quantiles are floats.
/// - NaN and infinite values can't be stored: their fields are left out, and the line with its last
///   field.
/// - Tag values can't hold line ends, which become spaces, nor end in a backslash, which becomes a
///   slash. All else is escaped and comes back as it was.
///
/// # Errors
///
/// [`VisitError`]; the sink may hold part of the text.
pub fn write_influx<S: Source, W: fmt::Write + ?Sized>(
    sources: &[S],
    labels: &[(&str, &str)],
    unix_ns: u64,
    sink: &mut W,
) -> Result<(), VisitError> {
    let timestamp = Decimal::new(unix_ns.min(UNIX_NS_MAX));
    visit_all(sources, labels, &mut Writer { sink, timestamp })
}

struct Writer<'w, W: ?Sized> {
    sink: &'w mut W,
    timestamp: Decimal,
}

impl<W: fmt::Write + ?Sized> Writer<'_, W> {
    /// Measurement and tags. Names need no escaping: they were checked to be plain.
    fn series(&mut self, series: &Series<'_>) -> fmt::Result {
        self.sink.write_str(series.family.name())?;
        let mut tags = [("", ""); LABELS_MAX];
        for (name, value) in sorted(series.labels, &mut tags) {
            self.sink.write_str(",")?;
            self.sink.write_str(name)?;
            self.sink.write_str("=")?;
            let (value, ending) = match value.strip_suffix('\\') {
                Some(rest) => (rest, "/"),
                None => (*value, ""),
            };
            write_replacing(self.sink, value, escaped_tag)?;
            self.sink.write_str(ending)?;
        }
        self.sink.write_str(" ")
    }

    fn end(&mut self) -> fmt::Result {
        self.sink.write_str(" ")?;
        self.sink.write_str(self.timestamp.as_str())?;
        self.sink.write_str("\n")
    }

    fn name(&mut self, field: &str) -> fmt::Result {
        self.sink.write_str(field)?;
        self.sink.write_str("=")
    }

    /// An integer, or where the unit is shifted a float with exactly its digits.
    fn unsigned(&mut self, value: u64, decimals: u8) -> fmt::Result {
        let value = if decimals == 0 { value.min(i64::MAX as u64) } else { value };
        self.sink.write_str(Decimal::scaled(value, decimals).as_str())?;
        self.sink.write_str(if decimals == 0 { "i" } else { "" })
    }

    fn extremes(&mut self, value: &dyn Distribution, decimals: u8) -> fmt::Result {
        for (name, extreme) in [(",min", value.min()), (",max", value.max())] {
            if let Some(extreme) = extreme {
                self.name(name)?;
                self.unsigned(extreme, decimals)?;
            }
        }
        Ok(())
    }

    fn quantiles(&mut self, series: &Series<'_>, value: &dyn Distribution) -> fmt::Result {
        for (name, q) in QUANTILES {
            if let Some(quantile) = value.quantile(q) {
                self.sink.write_str(",")?;
                self.name(name)?;
                write_float(self.sink, series.family.unit().scale(quantile))?;
            }
        }
        Ok(())
    }

    fn buckets(&mut self, value: &dyn Distribution, decimals: u8) -> fmt::Result {
        let mut total = 0_u64;
        for index in 0..value.buckets() {
            let bucket = value.bucket(index);
            total = total.wrapping_add(bucket.count);
            if let (Some(upper), true) = (bucket.upper, bucket.exported) {
                self.sink.write_str(",")?;
                self.name(Decimal::canonical(upper, decimals).as_str())?;
                self.unsigned(total, 0)?;
            }
        }
        self.name(",+Inf")?;
        self.unsigned(total, 0)
    }
}

/// The labels in the order of their names' bytes, which InfluxDB asks for.
fn sorted<'s, 'l>(
    labels: Labels<'l>,
    storage: &'s mut [(&'l str, &'l str); LABELS_MAX],
) -> &'s [(&'l str, &'l str)] {
    let mut count = 0;
    for label in labels.iter().take(LABELS_MAX) {
        let mut place = count;
        while place > 0 && storage[place - 1].0 > label.0 {
            storage[place] = storage[place - 1];
            place -= 1;
        }
        storage[place] = label;
        count += 1;
    }
    &storage[..count]
}

fn escaped_tag(byte: u8) -> Option<&'static str> {
    match byte {
        b',' => Some("\\,"),
        b'=' => Some("\\="),
        b' ' | b'\n' | b'\r' => Some("\\ "),
        _ => None,
    }
}

impl<W: fmt::Write + ?Sized> Visitor for Writer<'_, W> {
    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        self.series(series)?;
        self.name("value")?;
        self.unsigned(value, series.family.unit().decimals())?;
        Ok(self.end()?)
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        let decimals = series.family.unit().decimals();
        self.series(series)?;
        self.name("value")?;
        self.sink.write_str(Decimal::signed_scaled(value, decimals).as_str())?;
        self.sink.write_str(if decimals == 0 { "i" } else { "" })?;
        Ok(self.end()?)
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        if !value.is_finite() {
            return Ok(());
        }
        self.series(series)?;
        self.name("value")?;
        write_float(self.sink, value)?;
        Ok(self.end()?)
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        let decimals = series.family.unit().decimals();
        self.series(series)?;
        self.name("count")?;
        self.unsigned(value.count(), 0)?;
        self.name(",sum")?;
        self.unsigned(value.sum(), decimals)?;
        self.extremes(value, decimals)?;
        self.quantiles(series, value)?;
        self.buckets(value, decimals)?;
        Ok(self.end()?)
    }
}
