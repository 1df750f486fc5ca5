//! Alerts over collections: pending, firing, resolved.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use alloc::sync::Arc;
use std::sync::Mutex;

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};
use turbopump_std::backend::Backend;
use turbopump_std::monitor::alerts::{Alert, Alerts, rules_from_toml};
use turbopump_std::monitor::{Monitor, Observer, Sources};

use crate::browser::get;
use crate::on_every_backend;
use crate::pages::{config, elsewhere};

on_every_backend![collections_lead_to_alerts];

static VALUE: Descriptor = descriptor!(Kind::Gauge, "test_value", "As the test sets it.");
static FAMILIES: [&Descriptor; 1] = [&VALUE];

pub(crate) struct Value(pub(crate) u64);

impl Source for Value {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.gauge(&VALUE, &[], self.0)
    }
}

const RULES: &str = "[[rule]]\nname = \"high\"\nmetric = \"test_value\"\noperator = \">\"\n\
    threshold = 10\nseverity = \"critical\"\ndescription = \"It is high.\"\n";

pub(crate) fn watched(value: &Arc<AtomicU64>) -> Sources {
    let sources = Sources::new();
    let value = Arc::clone(value);
    sources.register(&[], move || Value(value.load(Ordering::SeqCst))).unwrap().forever();
    sources
}

pub(crate) fn alerts() -> Alerts {
    Alerts::new(rules_from_toml(RULES).unwrap()).unwrap()
}

async fn collections_lead_to_alerts<B: Backend>(backend: B) {
    let value = Arc::new(AtomicU64::new(0));
    let alerts = alerts();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&told);
    alerts.tell(|_: &Alert| panic!("as planned: others are told all the same"));
    alerts.tell(move |alert: &Alert| {
        hears.lock().unwrap().push(format!("{} {}", alert.name, alert.state));
    });
    let mut config = config();
    config.collect_interval = Duration::from_millis(10);
    config.observe(Arc::new(alerts.clone()));
    let shown = alerts.clone();
    config.route("/alerts.json", move || shown.page());
    let monitor = Monitor::start(backend.clone(), config, watched(&value)).await.unwrap();
    let address = monitor.address().unwrap();
    let state = move || {
        let page: serde_json::Value =
            serde_json::from_slice(&get(address, "/alerts.json").body).unwrap();
        let alert = &page["alerts"][0];
        assert_eq!((&alert["name"], &alert["rule"]), (&"high".into(), &"test_value > 10".into()));
        alert["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(elsewhere(&backend, state).await, "inactive");
    for (set, expected) in [(11, "firing"), (10, "resolved"), (99, "firing")] {
        value.store(set, Ordering::SeqCst);
        elsewhere(&backend, move || while state() != expected {}).await;
    }
    monitor.stop().await;
    assert_eq!(*told.lock().unwrap(), ["high firing", "high resolved", "high firing"]);
}

#[test]
fn a_source_that_is_wrong_changes_nothing() {
    struct Wrong;
    impl Source for Wrong {
        fn families(&self) -> &'static [&'static Descriptor] {
            &FAMILIES
        }

        fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
            samples.counter(&VALUE, &[], 1_u64)
        }
    }
    let value = Arc::new(AtomicU64::new(20));
    let (alerts, sources) = (alerts(), watched(&value));
    alerts.observe(&Arc::new(sources.snapshot()));
    let firing = alerts.to_json();
    assert!(firing.contains("\"state\":\"firing\""), "{firing}");
    sources.register(&[], || Wrong).unwrap().forever();
    alerts.observe(&Arc::new(sources.snapshot()));
    assert_eq!(alerts.to_json(), firing);
}
