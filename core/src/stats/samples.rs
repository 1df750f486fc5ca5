//! What a source hands its samples to.

use super::descriptor::{Descriptor, Kind};
use super::distribution::Distribution;
use super::labels::Labels;
use super::visit::{GaugeValue, Series, VisitError, Visitor};
use super::walk::{lists, same};

/// Takes the samples of one source while it is visited.
///
/// Every method takes the family, the labels that tell the sample from others of the same family,
/// and the value; the labels of the writer and of enclosing sources are added. All return an error
/// that the source passes on with `?`.
pub struct Samples<'a> {
    pub(super) visitor: &'a mut dyn Visitor,
    pub(super) pass: &'a mut Pass,
    pub(super) labels: Labels<'a>,
}

/// One family's turn.
pub(super) struct Pass {
    pub(super) family: &'static Descriptor,
    pub(super) table: &'static [&'static Descriptor],
    /// Whether samples are compared with the whole table: once per source is enough.
    pub(super) checking: bool,
    pub(super) begun: bool,
}

impl Samples<'_> {
    /// Whether samples of `family` are wanted now. Handing them over anyway does no harm.
    #[must_use]
    pub fn wants(&self, family: &'static Descriptor) -> bool {
        self.pass.checking || same(self.pass.family, family)
    }

    /// Hands over a counter.
    ///
    /// # Errors
    ///
    /// [`VisitError`]: end the visit with it.
    pub fn counter(
        &mut self,
        family: &'static Descriptor,
        labels: &[(&str, &str)],
        value: impl Into<u64>,
    ) -> Result<(), VisitError> {
        if !self.admit(family, Kind::Counter)? {
            return Ok(());
        }
        let series = Series { family, labels: joined(family, &self.labels, labels)? };
        self.visitor.counter(&series, value.into())
    }

    /// Hands over a gauge.
    ///
    /// # Errors
    ///
    /// [`VisitError`]: end the visit with it.
    pub fn gauge(
        &mut self,
        family: &'static Descriptor,
        labels: &[(&str, &str)],
        value: impl Into<GaugeValue>,
    ) -> Result<(), VisitError> {
        if !self.admit(family, Kind::Gauge)? {
            return Ok(());
        }
        let series = Series { family, labels: joined(family, &self.labels, labels)? };
        self.visitor.gauge(&series, value.into().get())
    }

    /// Hands over a gauge of fractions.
    ///
    /// # Errors
    ///
    /// [`VisitError`]: end the visit with it.
    pub fn float_gauge(
        &mut self,
        family: &'static Descriptor,
        labels: &[(&str, &str)],
        value: f64,
    ) -> Result<(), VisitError> {
        if !self.admit(family, Kind::FloatGauge)? {
            return Ok(());
        }
        let series = Series { family, labels: joined(family, &self.labels, labels)? };
        self.visitor.float_gauge(&series, value)
    }

    /// Hands over a histogram.
    ///
    /// # Errors
    ///
    /// [`VisitError`]: end the visit with it.
    pub fn histogram(
        &mut self,
        family: &'static Descriptor,
        labels: &[(&str, &str)],
        value: &dyn Distribution,
    ) -> Result<(), VisitError> {
        if !self.admit(family, Kind::Histogram)? {
            return Ok(());
        }
        let series = Series { family, labels: joined(family, &self.labels, labels)? };
        self.visitor.histogram(&series, value)
    }

    /// The same with `labels` added to every sample: for a source inside another.
    ///
    /// ```
    /// use turbopump_core::stats::{Descriptor, Samples, Source, VisitError};
    ///
    /// struct Named<'a, S> { name: &'a str, inner: S }
    ///
    /// impl<S: Source> Source for Named<'_, S> {
    ///     fn families(&self) -> &'static [&'static Descriptor] {
    ///         self.inner.families()
    ///     }
    ///     fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
    ///         self.inner.visit(&mut samples.with_labels(&[("pool", self.name)])?)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VisitError::Label`] where one of `labels` is refused.
    pub fn with_labels<'b>(
        &'b mut self,
        labels: &'b [(&'b str, &'b str)],
    ) -> Result<Samples<'b>, VisitError> {
        let labels = joined(self.pass.family, &self.labels, labels)?;
        Ok(Samples { visitor: &mut *self.visitor, pass: &mut *self.pass, labels })
    }

    /// Decides whether a sample is one of the family being visited.
    #[inline]
    fn admit(&mut self, family: &'static Descriptor, kind: Kind) -> Result<bool, VisitError> {
        if self.pass.checking && !lists(self.pass.table, family)? {
            return Err(VisitError::Unlisted { family: family.name() });
        }
        if !same(self.pass.family, family) {
            return Ok(false);
        }
        if family.kind() != kind {
            let (family, declared) = (family.name(), family.kind());
            return Err(VisitError::Kind { family, declared, given: kind });
        }
        if !self.pass.begun {
            self.pass.begun = true;
            self.visitor.begin_family(self.pass.family)?;
        }
        Ok(true)
    }
}

/// `own` with `around` around them.
#[inline]
fn joined<'s>(
    family: &'static Descriptor,
    around: &'s Labels<'s>,
    own: &'s [(&'s str, &'s str)],
) -> Result<Labels<'s>, VisitError> {
    around.and(own).map_err(|error| VisitError::Label { family: family.name(), error })
}
