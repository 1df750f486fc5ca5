//! The monitors of broker and name server, and what it says on standard error.

use alloc::sync::Arc;
use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;

use turbopump::core::alert::Rule;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{EmbeddedBroker, EmbeddedNameServer, Notice, alert_rules};
use turbopump::runtime::monitor::alerts::{Alert, Alerts, Text, default_rules};
use turbopump::runtime::monitor::{BuildInfo, Monitor, MonitorConfig, Sources};

use super::{BrokerArguments, NamesrvArguments};
use crate::arguments::BackendName;

/// Of collecting.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the broker's monitor, where one is asked for.
pub(crate) async fn start<B: Backend>(
    backend: B,
    arguments: &BrokerArguments,
    broker: &EmbeddedBroker<B>,
) -> Result<Option<Monitor<B>>, Box<dyn Error>> {
    let Some(address) = arguments.monitor.0 else {
        return Ok(None);
    };
    let sources = Sources::new();
    sources.register(&[], broker.stats_source())?.forever();
    let mut config = MonitorConfig::default();
    let stats = broker.stats_source();
    config.ready_when("store", move || match stats().is_writable {
        true => Ok(()),
        false => Err("messages can't be stored until the broker is started again".into()),
    });
    let mut rules = default_rules();
    rules.extend(alert_rules(&arguments.config()?.limits));
    run(backend, arguments.backend, address, sources, config, rules).await.map(Some)
}

/// Starts the name server's monitor, where one is asked for.
pub(crate) async fn start_namesrv<B: Backend>(
    backend: B,
    arguments: &NamesrvArguments,
    name_server: &EmbeddedNameServer<B>,
) -> Result<Option<Monitor<B>>, Box<dyn Error>> {
    let Some(address) = arguments.monitor.0 else {
        return Ok(None);
    };
    let sources = Sources::new();
    sources.register(&[], name_server.stats_source())?.forever();
    let config = MonitorConfig::default();
    run(backend, arguments.backend, address, sources, config, default_rules()).await.map(Some)
}

/// Starts a monitor of these sources, which says alerts on standard error.
pub(crate) async fn run<B: Backend>(
    backend: B,
    runtime: BackendName,
    address: SocketAddr,
    sources: Sources,
    mut config: MonitorConfig,
    rules: Vec<Rule<Text>>,
) -> Result<Monitor<B>, Box<dyn Error>> {
    let runtime = runtime.as_str();
    let build = move || BuildInfo::new(env!("CARGO_PKG_VERSION"), Some(runtime));
    sources.register(&[], build)?.forever();
    config.address = Some(address);
    config.collect_interval = INTERVAL;
    config.setting("backend", runtime);
    let alerts = Alerts::new(rules)?;
    alerts.tell(|alert: &Alert| {
        eprintln!("turbopump: alert {} is {}: {}", alert.name, alert.state, alert.rule);
    });
    alerts.tell(config.events.clone());
    config.observe(Arc::new(alerts.clone()));
    config.route("/alerts.json", move || alerts.page());
    let monitor = Monitor::start(backend, config, sources).await?;
    if let Some(address) = monitor.address() {
        eprintln!("turbopump: watch it at http://{address}/");
    }
    Ok(monitor)
}

/// Says what somebody should know of, one line each.
pub(crate) fn tell(notice: &Notice) {
    let warning = if matches!(notice, Notice::Exposed { .. }) { "WARNING: " } else { "" };
    eprintln!("turbopump: {warning}{notice}");
}
