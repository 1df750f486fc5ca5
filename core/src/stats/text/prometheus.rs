//! The two text formats that Prometheus reads; they differ in headers, escaping of help and the
//! end.

use core::fmt;

use super::super::decimal::{Decimal, write_float};
use super::super::descriptor::{Descriptor, Kind};
use super::super::distribution::Distribution;
use super::super::visit::{Series, Source, VisitError, Visitor};
use super::super::walk::visit_all;
use super::write_replacing;

/// The content type of Prometheus text.
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The content type of OpenMetrics text.
pub const OPENMETRICS_CONTENT_TYPE: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes `sources` as Prometheus text 0.0.4, `labels` added to every sample.
///
/// Numbers are exact: integers have all their digits, scaled ones (microseconds shown as seconds)
/// the point moved, floats the fewest digits that give the same float back. The bounds of
/// histograms (`le`) are written as in OpenMetrics, so that a series keeps its labels when a
/// scraper changes the format.
///
/// # Errors
///
/// [`VisitError`]; the sink may hold part of the text.
pub fn write_prometheus<S: Source, W: fmt::Write + ?Sized>(
    sources: &[S],
    labels: &[(&str, &str)],
    sink: &mut W,
) -> Result<(), VisitError> {
    visit_all(sources, labels, &mut Writer { sink, dialect: Dialect::Prometheus })
}

/// Writes `sources` as OpenMetrics text 1.0, `labels` added to every sample.
///
/// As [`write_prometheus`], with the family's name without `_total` in headers, the unit in a
/// header of its own, and `# EOF` at the end. The optional `_created` samples are left out.
///
/// # Errors
///
/// [`VisitError`]; the sink may hold part of the text, which then lacks `# EOF`.
pub fn write_openmetrics<S: Source, W: fmt::Write + ?Sized>(
    sources: &[S],
    labels: &[(&str, &str)],
    sink: &mut W,
) -> Result<(), VisitError> {
    visit_all(sources, labels, &mut Writer { sink, dialect: Dialect::OpenMetrics })?;
    Ok(sink.write_str("# EOF\n")?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Prometheus,
    OpenMetrics,
}

struct Writer<'w, W: ?Sized> {
    sink: &'w mut W,
    dialect: Dialect,
}

impl<W: fmt::Write + ?Sized> Writer<'_, W> {
    fn header(&mut self, word: &str, name: &str) -> fmt::Result {
        self.sink.write_str("# ")?;
        self.sink.write_str(word)?;
        self.sink.write_str(" ")?;
        self.sink.write_str(name)?;
        self.sink.write_str(" ")
    }

    fn help(&mut self, name: &str, help: &str) -> fmt::Result {
        self.header("HELP", name)?;
        let quotes = self.dialect == Dialect::OpenMetrics;
        write_replacing(self.sink, help, |byte| match byte {
            b'\\' => Some("\\\\"),
            b'\n' => Some("\\n"),
            b'"' if quotes => Some("\\\""),
            _ => None,
        })?;
        self.sink.write_str("\n")
    }

    /// Everything of a sample's line but the number.
    ///
    /// Every separator is a literal: a sink that is compiled in stores those without a call.
    #[inline]
    fn series(&mut self, series: &Series<'_>, suffix: &str, le: Option<&str>) -> fmt::Result {
        self.sink.write_str(series.family.name())?;
        if !suffix.is_empty() {
            self.sink.write_str(suffix)?;
        }
        let mut open = false;
        for (name, value) in series.labels.iter() {
            self.label(&mut open, name)?;
            write_replacing(self.sink, value, escaped_label)?;
        }
        if let Some(le) = le {
            self.label(&mut open, "le")?;
            self.sink.write_str(le)?;
        }
        if open { self.sink.write_str("\"} ") } else { self.sink.write_char(' ') }
    }

    /// What stands before a label's value.
    #[inline]
    fn label(&mut self, open: &mut bool, name: &str) -> fmt::Result {
        if *open {
            self.sink.write_str("\",")?
        } else {
            self.sink.write_char('{')?
        }
        *open = true;
        self.sink.write_str(name)?;
        self.sink.write_str("=\"")
    }

    #[inline]
    fn number(&mut self, number: Decimal) -> fmt::Result {
        self.sink.write_str(number.as_str())?;
        self.sink.write_char('\n')
    }
}

fn escaped_label(byte: u8) -> Option<&'static str> {
    match byte {
        b'\\' => Some("\\\\"),
        b'"' => Some("\\\""),
        b'\n' => Some("\\n"),
        _ => None,
    }
}

impl<W: fmt::Write + ?Sized> Visitor for Writer<'_, W> {
    fn begin_family(&mut self, family: &'static Descriptor) -> Result<(), VisitError> {
        let name = match self.dialect {
            Dialect::Prometheus => family.name(),
            Dialect::OpenMetrics => family.base(),
        };
        if self.dialect == Dialect::Prometheus {
            self.help(name, family.help())?;
        }
        self.header("TYPE", name)?;
        self.sink.write_str(family.kind().as_str())?;
        self.sink.write_str("\n")?;
        if self.dialect == Dialect::OpenMetrics {
            let unit = family.unit().name();
            if !unit.is_empty() {
                self.header("UNIT", name)?;
                self.sink.write_str(unit)?;
                self.sink.write_str("\n")?;
            }
            self.help(name, family.help())?;
        }
        Ok(())
    }

    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError> {
        debug_assert_eq!(series.family.kind(), Kind::Counter);
        self.series(series, "", None)?;
        Ok(self.number(Decimal::scaled(value, series.family.unit().decimals()))?)
    }

    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError> {
        self.series(series, "", None)?;
        Ok(self.number(Decimal::signed_scaled(value, series.family.unit().decimals()))?)
    }

    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError> {
        self.series(series, "", None)?;
        write_float(self.sink, value)?;
        Ok(self.sink.write_str("\n")?)
    }

    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        let decimals = series.family.unit().decimals();
        let mut total = 0_u64;
        for index in 0..value.buckets() {
            let bucket = value.bucket(index);
            total = total.wrapping_add(bucket.count);
            if let (Some(upper), true) = (bucket.upper, bucket.exported) {
                let le = Decimal::canonical(upper, decimals);
                self.series(series, "_bucket", Some(le.as_str()))?;
                self.number(Decimal::new(total))?;
            }
        }
        // The last bucket and the count are written from the same sum: they must agree.
        self.series(series, "_bucket", Some("+Inf"))?;
        self.number(Decimal::new(total))?;
        self.series(series, "_count", None)?;
        self.number(Decimal::new(total))?;
        self.series(series, "_sum", None)?;
        Ok(self.number(Decimal::scaled(value.sum(), decimals))?)
    }
}
