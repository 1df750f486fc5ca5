//! The broker's monitor, and what it says on standard error.

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{EmbeddedBroker, Notice, alert_rules};
use turbopump::runtime::monitor::alerts::{Alert, Alerts, default_rules};
use turbopump::runtime::monitor::{BuildInfo, Monitor, MonitorConfig, Sources};

use super::BrokerArguments;

/// Of collecting.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the monitor, where one is asked for.
pub(crate) async fn start<B: Backend>(
    backend: B,
    arguments: &BrokerArguments,
    broker: &EmbeddedBroker<B>,
) -> Result<Option<Monitor<B>>, Box<dyn Error>> {
    let Some(address) = arguments.monitor.0 else {
        return Ok(None);
    };
    let sources = Sources::new();
    let runtime = arguments.backend.as_str();
    let build = move || BuildInfo::new(env!("CARGO_PKG_VERSION"), Some(runtime));
    sources.register(&[], build)?.forever();
    sources.register(&[], broker.stats_source())?.forever();
    let mut config = MonitorConfig::default();
    config.address = Some(address);
    config.collect_interval = INTERVAL;
    config.setting("backend", runtime);
    let mut rules = default_rules();
    rules.extend(alert_rules(&arguments.config()?.limits));
    let alerts = Alerts::new(rules)?;
    alerts.tell(|alert: &Alert| {
        eprintln!("turbopump: alert {} is {}: {}", alert.name, alert.state, alert.rule);
    });
    alerts.tell(config.events.clone());
    config.observe(Arc::new(alerts.clone()));
    config.route("/alerts.json", move || alerts.page());
    let stats = broker.stats_source();
    config.ready_when("store", move || match stats().is_writable {
        true => Ok(()),
        false => Err("messages can't be stored until the broker is started again".into()),
    });
    let monitor = Monitor::start(backend, config, sources).await?;
    if let Some(address) = monitor.address() {
        eprintln!("turbopump: watch it at http://{address}/");
    }
    Ok(Some(monitor))
}

/// Says what somebody should know of, one line each.
pub(crate) fn tell(notice: &Notice) {
    eprintln!("turbopump: {notice}");
}
