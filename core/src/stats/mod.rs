//! Numbers: how they are counted, summed up, visited and printed.
//!
//! This module decides what a counter, a gauge and a histogram are, what their families are called
//! and how they look as text. It leaves to its users which numbers there are, under which lock they
//! are changed and when somebody reads them.
//!
//! # From a number to a line of text
//!
//! 1. A machine keeps [`Counter`]s, [`Gauge`]s and histograms as plain fields and changes them
//!    while it does its work. They are integers in the smallest unit that matters (microseconds,
//!    bytes), so that counting needs neither atomics nor floating point.
//! 2. Its `stats()` copies them: a snapshot is a plain copy of the values.
//! 3. The snapshot implements [`Source`]: a table of [`Descriptor`]s (name, help, kind, unit), and
//!    one method that hands over every sample.
//! 4. [`visit_all`] walks any number of sources and calls a [`Visitor`]: the text writers in
//!    [`text`], the alert rules in [`crate::alert`], or one of your own.
//!
//! ```
//! use turbopump_core::descriptor;
//! use turbopump_core::stats::{
//!     Counter, Descriptor, Kind, LatencyHistogram, Samples, Source, Unit, VisitError, text,
//! };
//!
//! static SENT: Descriptor = descriptor!(Kind::Counter, "app_sent_total", "Messages sent.");
//! static DURATION: Descriptor = descriptor!(
//!     Kind::Histogram,
//!     "app_send_duration_seconds",
//!     "Time from send to acknowledgement.",
//!     Unit::MICROSECONDS
//! );
//! static FAMILIES: [&Descriptor; 2] = [&SENT, &DURATION];
//!
//! #[derive(Default)]
//! struct Stats {
//!     sent: Counter,
//!     duration_us: LatencyHistogram,
//! }
//!
//! impl Source for Stats {
//!     fn families(&self) -> &'static [&'static Descriptor] {
//!         &FAMILIES
//!     }
//!
//!     fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
//!         samples.counter(&SENT, &[], self.sent)?;
//!         samples.histogram(&DURATION, &[], &self.duration_us)
//!     }
//! }
//!
//! let mut stats = Stats::default();
//! stats.sent.increment();
//! stats.duration_us.observe(1_500);
//!
//! let mut page = String::new();
//! text::write_prometheus(&[&stats], &[("client", "orders")], &mut page)?;
//! assert!(page.contains("app_sent_total{client=\"orders\"} 1\n"));
//! assert!(page.contains("app_send_duration_seconds_sum{client=\"orders\"} 0.0015\n"));
//! # Ok::<(), VisitError>(())
//! ```
//!
//! # Families stay together
//!
//! Both text formats of Prometheus want all samples of one metric in one group under one header,
//! however many sources have some. [`visit_all`] guarantees that, without storage of its own: it
//! goes family by family and asks every source that lists the family each time. The price is that
//! a source is visited once per family it lists; samples of other families are turned away by one
//! comparison.
//!
//! # Bounds
//!
//! Text is bounded by what is visited; [`text::TextLength`] measures it beforehand. A sample has at
//! most [`LABELS_MAX`] labels; a [`LabelTable`] bounds how many values one of them has. A bad name
//! of a metric is a compile error ([`descriptor!`](crate::descriptor)), a bad label name a
//! [`VisitError`]: neither reaches the text.

mod counter;
mod decimal;
mod descriptor;
mod distribution;
mod histogram;
mod label_table;
mod labels;
mod log_histogram;
mod samples;
mod visit;
mod walk;

pub mod text;

pub use counter::{Counter, Gauge, PeakGauge};
pub use decimal::Decimal;
pub use descriptor::{Descriptor, DescriptorError, Kind, Unit};
pub use distribution::{Bucket, Distribution, Summary};
pub use histogram::{
    Bounds, BoundsError, DURATION_BOUNDS_US, DurationHistogram, Histogram, ITEMS_BOUNDS,
    ItemsHistogram, MergeError, SIZE_BOUNDS_BYTES, SizeHistogram,
};
pub use label_table::{LABEL_EXPIRY_US, LABEL_VALUES_MAX, LabelKey, LabelSlot, LabelTable, OTHER};
pub use labels::{LABELS_MAX, LabelError, Labels};
pub use log_histogram::{LatencyHistogram, LogHistogram, log_buckets};
pub use samples::Samples;
pub use visit::{GaugeValue, Series, Source, VisitError, Visitor};
pub use walk::visit_all;

pub(crate) use descriptor::name_is_valid as metric_name_is_valid;
pub(crate) use distribution::quantile_of;
pub(crate) use labels::name_is_valid as label_name_is_valid;
