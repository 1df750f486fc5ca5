//! The seam between those who have numbers and those who read them: its traits and errors.

use core::fmt;

use super::counter::{Counter, Gauge};
use super::descriptor::{Descriptor, Kind};
use super::distribution::Distribution;
use super::labels::{LABELS_MAX, LabelError, Labels};
use super::samples::Samples;

/// Anything whose numbers can be visited: the snapshot of a pool, a batch, a network, a broker.
///
/// Implement it for snapshots rather than for live machines: a source is asked several times during
/// one visit (see [`visit_all`](super::visit_all)), and what it hands over should be of one moment.
///
/// ```
/// use turbopump_core::descriptor;
/// use turbopump_core::stats::{Decimal, Descriptor, Kind, Samples, Source, VisitError};
///
/// static HITS: Descriptor = descriptor!(Kind::Counter, "app_hits_total", "Found in the cache.");
/// static IN_USE: Descriptor = descriptor!(Kind::Gauge, "app_in_use", "Entries in use.");
/// static FAMILIES: [&Descriptor; 2] = [&HITS, &IN_USE];
///
/// struct ClassStats { bytes: u64, hits: u64, in_use: u64 }
/// struct CacheStats { classes: [ClassStats; 2] }
///
/// impl Source for CacheStats {
///     fn families(&self) -> &'static [&'static Descriptor] {
///         &FAMILIES
///     }
///
///     fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
///         for class in &self.classes {
///             let size = Decimal::new(class.bytes);
///             let labels = [("class", size.as_str())];
///             samples.counter(&HITS, &labels, class.hits)?;
///             samples.gauge(&IN_USE, &labels, class.in_use)?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Source {
    /// The families this source has samples of. All sources of one type return the same table.
    fn families(&self) -> &'static [&'static Descriptor];

    /// Hands over every sample, in any order.
    ///
    /// Those of other families than the one being visited are turned away by a comparison, so there
    /// is no need to ask first; a source with very many samples may use [`Samples::wants`].
    ///
    /// # Errors
    ///
    /// What `samples` returned, unchanged.
    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError>;
}

impl<S: Source + ?Sized> Source for &S {
    fn families(&self) -> &'static [&'static Descriptor] {
        (**self).families()
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        (**self).visit(samples)
    }
}

#[cfg(feature = "alloc")]
impl<S: Source + ?Sized> Source for alloc::boxed::Box<S> {
    fn families(&self) -> &'static [&'static Descriptor] {
        (**self).families()
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        (**self).visit(samples)
    }
}

/// What reads numbers: a text writer, the alert rules, a writer of your own.
///
/// [`visit_all`](super::visit_all) calls it family by family: [`Visitor::wants`], then, if there is
/// any sample, [`Visitor::begin_family`], then one method per sample, according to the family's
/// kind. No family comes twice. Labels have been checked.
pub trait Visitor {
    /// Whether samples of this family are wanted at all; yes by default.
    fn wants(&mut self, family: &'static Descriptor) -> bool {
        let _ = family;
        true
    }

    /// The samples of `family` follow, at least one.
    ///
    /// # Errors
    ///
    /// Ends the visit with this error.
    fn begin_family(&mut self, family: &'static Descriptor) -> Result<(), VisitError> {
        let _ = family;
        Ok(())
    }

    /// A sample of a counter, in the family's counted unit.
    ///
    /// # Errors
    ///
    /// Ends the visit with this error.
    fn counter(&mut self, series: &Series<'_>, value: u64) -> Result<(), VisitError>;

    /// A sample of a gauge, in the family's counted unit.
    ///
    /// # Errors
    ///
    /// Ends the visit with this error.
    fn gauge(&mut self, series: &Series<'_>, value: i64) -> Result<(), VisitError>;

    /// A sample of a gauge of fractions, in the family's unit; may be NaN or infinite.
    ///
    /// # Errors
    ///
    /// Ends the visit with this error.
    fn float_gauge(&mut self, series: &Series<'_>, value: f64) -> Result<(), VisitError>;

    /// A histogram, in the family's counted unit.
    ///
    /// # Errors
    ///
    /// Ends the visit with this error.
    fn histogram(
        &mut self,
        series: &Series<'_>,
        value: &dyn Distribution,
    ) -> Result<(), VisitError>;
}

/// Which series a sample belongs to: its family and labels.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Name, kind and unit.
    pub family: &'static Descriptor,
    /// All labels: constant ones, those of the source and the sample's own.
    pub labels: Labels<'a>,
}

/// The value of an integer gauge, from whatever integer a machine keeps.
///
/// What is above the range of `i64` sticks at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GaugeValue(i64);

impl GaugeValue {
    /// The value.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

macro_rules! gauge_value_from {
    ($($integer:ty),*) => {$(
        impl From<$integer> for GaugeValue {
            fn from(value: $integer) -> Self {
                Self(i64::try_from(value).unwrap_or(i64::MAX))
            }
        }
    )*};
}
gauge_value_from!(u8, u16, u32, u64, usize, i32, i64);

impl From<Gauge> for GaugeValue {
    fn from(gauge: Gauge) -> Self {
        Self(gauge.get())
    }
}

impl From<Counter> for GaugeValue {
    fn from(counter: Counter) -> Self {
        Self::from(counter.get())
    }
}

/// Why a visit ended before all was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VisitError {
    /// The text's sink refused to take more.
    Sink(fmt::Error),
    /// A source handed over a sample of a family that its table doesn't list.
    Unlisted {
        /// The family's name.
        family: &'static str,
    },
    /// A sample is of another kind than its family.
    Kind {
        /// The family's name.
        family: &'static str,
        /// The kind of the family.
        declared: Kind,
        /// The kind of the sample.
        given: Kind,
    },
    /// Two tables list different families (in kind, unit or help) under one name.
    Conflict {
        /// The family's name.
        family: &'static str,
    },
    /// A label of a sample or of its source was refused.
    Label {
        /// The family's name.
        family: &'static str,
        /// Which label, and why.
        error: LabelError,
    },
    /// One of the constant labels was refused.
    ConstantLabel {
        /// Which label, and why.
        error: LabelError,
    },
}

impl From<fmt::Error> for VisitError {
    fn from(error: fmt::Error) -> Self {
        Self::Sink(error)
    }
}

impl fmt::Display for VisitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink(_) => f.write_str("the sink of the text takes no more"),
            Self::Unlisted { family } => {
                write!(f, "a sample of `{family}`, which its source's families() doesn't list")
            }
            Self::Kind { family, declared, given } => {
                write!(f, "`{family}` is a {declared}, but the sample is a {given}")
            }
            Self::Conflict { family } => write!(
                f,
                "`{family}` is described in two ways; one name has one kind, unit and help"
            ),
            Self::Label { family, error } => write!(f, "a sample of `{family}`: {error}"),
            Self::ConstantLabel { error } => {
                write!(f, "constant labels (at most {LABELS_MAX} with the samples' own): {error}")
            }
        }
    }
}

impl core::error::Error for VisitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sink(error) => Some(error),
            Self::Label { error, .. } | Self::ConstantLabel { error } => Some(error),
            _ => None,
        }
    }
}
