extern crate alloc;

use super::visit_all;
use crate::descriptor;
use crate::stats::{
    Descriptor, Distribution, Kind, LabelError, LatencyHistogram, Samples, Series, Source,
    VisitError, Visitor,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

static A: Descriptor = descriptor!(Kind::Counter, "a_total", "A.");
static B: Descriptor = descriptor!(Kind::Gauge, "b", "B.");
static C: Descriptor = descriptor!(Kind::Histogram, "c", "C.");
static D: Descriptor = descriptor!(Kind::FloatGauge, "d", "D.");
static OTHER_A: Descriptor = descriptor!(Kind::Gauge, "a", "Named like the counter's family.");
const COPY_OF_A: Descriptor = A;

/// A source whose samples are listed; its table may leave some out.
struct Listed {
    table: &'static [&'static Descriptor],
    samples: &'static [&'static Descriptor],
    label: &'static str,
}

impl Source for Listed {
    fn families(&self) -> &'static [&'static Descriptor] {
        self.table
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let labels = [("source", self.label)];
        let mut samples = samples.with_labels(&labels)?;
        for family in self.samples {
            match family.kind() {
                Kind::Counter => samples.counter(family, &[("x", "1")], 1_u64)?,
                Kind::Gauge => samples.gauge(family, &[], -1)?,
                Kind::FloatGauge => samples.float_gauge(family, &[], 0.5)?,
                Kind::Histogram => samples.histogram(family, &[], &LatencyHistogram::new())?,
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Recorder {
    lines: Vec<String>,
    unwanted: Option<&'static str>,
}

impl Recorder {
    fn record(&mut self, series: &Series<'_>) -> Result<(), VisitError> {
        self.lines.push(format!("{} {:?}", series.family.name(), series.labels));
        Ok(())
    }
}

impl Visitor for Recorder {
    fn wants(&mut self, family: &'static Descriptor) -> bool {
        self.unwanted != Some(family.name())
    }

    fn begin_family(&mut self, family: &'static Descriptor) -> Result<(), VisitError> {
        self.lines.push(format!("begin {}", family.name()));
        Ok(())
    }

    fn counter(&mut self, series: &Series<'_>, _: u64) -> Result<(), VisitError> {
        self.record(series)
    }

    fn gauge(&mut self, series: &Series<'_>, _: i64) -> Result<(), VisitError> {
        self.record(series)
    }

    fn float_gauge(&mut self, series: &Series<'_>, _: f64) -> Result<(), VisitError> {
        self.record(series)
    }

    fn histogram(&mut self, series: &Series<'_>, _: &dyn Distribution) -> Result<(), VisitError> {
        self.record(series)
    }
}

static ALL: &[&Descriptor] = &[&A, &B, &C, &D];

fn whole(label: &'static str) -> Listed {
    // The samples come in another order than the table, each family's apart.
    Listed { table: ALL, samples: const { &[&D, &A, &B, &C, &A] }, label }
}

#[test]
fn families_stay_together_whatever_the_order_of_sources() {
    let copy =
        Listed { table: const { &[&COPY_OF_A] }, samples: const { &[&COPY_OF_A] }, label: "copy" };
    let sources = [whole("1"), copy, whole("2")];
    let mut recorder = Recorder::default();
    visit_all(&sources, &[("client", "z")], &mut recorder).unwrap();

    let expected = [
        "begin a_total",
        r#"a_total {"x": "1", "source": "1", "client": "z"}"#,
        r#"a_total {"x": "1", "source": "1", "client": "z"}"#,
        r#"a_total {"x": "1", "source": "copy", "client": "z"}"#,
        r#"a_total {"x": "1", "source": "2", "client": "z"}"#,
        r#"a_total {"x": "1", "source": "2", "client": "z"}"#,
        "begin b",
        r#"b {"source": "1", "client": "z"}"#,
        r#"b {"source": "2", "client": "z"}"#,
        "begin c",
        r#"c {"source": "1", "client": "z"}"#,
        r#"c {"source": "2", "client": "z"}"#,
        "begin d",
        r#"d {"source": "1", "client": "z"}"#,
        r#"d {"source": "2", "client": "z"}"#,
    ];
    assert_eq!(recorder.lines, expected);
}

#[test]
fn a_family_without_samples_or_wish_is_not_begun() {
    let bare = Listed { table: ALL, samples: const { &[&A, &B] }, label: "" };
    let mut recorder = Recorder { unwanted: Some("a_total"), ..Recorder::default() };
    visit_all(&[&bare as &dyn Source], &[], &mut recorder).unwrap();
    assert_eq!(recorder.lines, ["begin b", "b {}"]);
}

#[test]
fn mistakes_of_sources_are_refused() {
    let refused = |source: Listed| {
        visit_all(&[&whole("1"), &source], &[], &mut Recorder::default()).unwrap_err()
    };
    let unlisted =
        refused(Listed { table: const { &[&B, &D] }, samples: const { &[&B, &C] }, label: "" });
    assert_eq!(unlisted, VisitError::Unlisted { family: "c" });
    let conflict = refused(Listed { table: const { &[&OTHER_A] }, samples: &[], label: "" });
    assert!(matches!(conflict, VisitError::Conflict { family: "a" | "a_total" }));
    let twice = refused(Listed { table: const { &[&B, &OTHER_A, &A] }, samples: &[], label: "" });
    assert!(matches!(twice, VisitError::Conflict { .. }));
}

#[test]
fn a_sample_of_another_kind_is_refused() {
    struct Wrong;
    impl Source for Wrong {
        fn families(&self) -> &'static [&'static Descriptor] {
            const { &[&A] }
        }
        fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
            samples.gauge(&A, &[], 1)
        }
    }
    let refused = visit_all(&[Wrong], &[], &mut Recorder::default()).unwrap_err();
    let (declared, given) = (Kind::Counter, Kind::Gauge);
    assert_eq!(refused, VisitError::Kind { family: "a_total", declared, given });
}

#[test]
fn labels_that_clash_are_refused() {
    let visit = |labels: &[(&str, &str)]| {
        visit_all(&[whole("1")], labels, &mut Recorder::default()).unwrap_err()
    };
    let error = LabelError::Twice { index: 0 };
    assert_eq!(visit(&[("x", "9")]), VisitError::Label { family: "a_total", error });
    assert_eq!(visit(&[("source", "9")]), VisitError::Label { family: "a_total", error });
    let error = LabelError::Name { index: 0 };
    assert_eq!(visit(&[("a-b", "9")]), VisitError::ConstantLabel { error });
}
