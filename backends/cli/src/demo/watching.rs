//! The demo's monitor: who has numbers, and where they are seen.

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;
use std::fs;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::monitor::alerts::{Alert, Alerts, Webhook, default_rules, rules_from_toml};
use turbopump::runtime::monitor::export::{
    FileExport, FileExportConfig, InfluxExport, InfluxExportConfig,
};
use turbopump::runtime::monitor::{BuildInfo, Monitor, MonitorConfig, Observer, Sources};

use super::figures::Figures;
use super::pipeline::Pipeline;
use crate::arguments::DemoArguments;

/// Of collecting and exporting.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Watching<B: Backend> {
    monitor: Monitor<B>,
    file: Option<Arc<FileExport<B>>>,
    influx: Option<Arc<InfluxExport>>,
}

impl<B: Backend> Watching<B> {
    pub(crate) async fn start(
        backend: B,
        arguments: &DemoArguments,
        pipeline: &Pipeline<B>,
    ) -> Result<Self, Box<dyn Error>> {
        let sources = Sources::new();
        register(&sources, arguments, pipeline)?;
        let mut config = MonitorConfig::default();
        let alerts = alerts(&backend, arguments, &sources)?;
        alerts.tell(config.events.clone());
        config.observe(Arc::new(alerts.clone()));
        config.route("/alerts.json", move || alerts.page());
        let uplink = Arc::clone(&pipeline.uplink);
        config.ready_when("broker", move || match uplink.pool_status().is_failing {
            true => Err("the broker can't be reached".into()),
            false => Ok(()),
        });
        config.address = arguments.monitor.0;
        config.debug_address = arguments.debug.0;
        settings(&mut config, arguments);
        config.collect_interval = INTERVAL;
        let file = match &arguments.export {
            None => None,
            Some(path) => {
                let mut export = FileExportConfig::new(path);
                export.every = INTERVAL;
                let failed = |error| format!("can't write {}: {error}", path.display());
                Some(FileExport::start(backend.clone(), export).map_err(failed)?)
            }
        };
        let influx = match &arguments.influx {
            None => None,
            Some(url) => {
                let mut export = InfluxExportConfig::new(url);
                export.every = INTERVAL;
                Some(InfluxExport::start(&backend, export)?)
            }
        };
        if let Some(file) = &file {
            config.observe(Arc::clone(file) as Arc<dyn Observer>);
        }
        if let Some(influx) = &influx {
            config.observe(Arc::clone(influx) as Arc<dyn Observer>);
            let counted = Arc::clone(influx);
            sources.register(&[("exporter", "influx")], move || counted.stats())?.forever();
        }
        let monitor = Monitor::start(backend, config, sources).await?;
        let watching = Self { monitor, file, influx };
        if let Some(url) = watching.url() {
            eprintln!("turbopump: watch it at {url}");
        }
        if let Some(address) = watching.monitor.debug_address() {
            eprintln!("turbopump: debug it at http://{address}/debug");
        }
        Ok(watching)
    }

    pub(crate) fn url(&self) -> Option<String> {
        Some(format!("http://{}/", self.monitor.address()?))
    }

    /// Exports the last numbers, too.
    pub(crate) async fn stop(self) {
        let last = Arc::new(self.monitor.snapshot());
        if let Some(influx) = &self.influx {
            influx.observe(&last);
            eprintln!("turbopump: {} exports to InfluxDB", influx.stats().posted());
        }
        if let Some(file) = &self.file {
            file.observe(&last);
            file.stop().await;
        }
        self.monitor.stop().await;
    }
}

/// What the demo was asked for, as the debug pages show it.
fn settings(config: &mut MonitorConfig, arguments: &DemoArguments) {
    config.setting("backend", arguments.backend.as_str());
    config.setting("batch", arguments.batch.to_string());
    config.setting("lanes", arguments.lanes.to_string());
    let rate = arguments.rate.map(|rate| rate.to_string());
    let outside = [("rate", &rate), ("influx", &arguments.influx), ("webhook", &arguments.webhook)];
    for (name, value) in outside {
        if let Some(value) = value {
            config.setting(name, value.as_str());
        }
    }
}

/// The rules of the user's file, or those that suit any program; told on standard error.
fn alerts<B: Backend>(
    backend: &B,
    arguments: &DemoArguments,
    sources: &Sources,
) -> Result<Alerts, Box<dyn Error>> {
    let rules = match &arguments.rules {
        None => default_rules(),
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| format!("can't read {}: {error}", path.display()))?;
            rules_from_toml(&text).map_err(|error| format!("{}, {error}", path.display()))?
        }
    };
    let alerts = Alerts::new(rules)?;
    alerts.tell(|alert: &Alert| {
        eprintln!("turbopump: alert {} is {}: {}", alert.name, alert.state, alert.rule);
    });
    if let Some(url) = &arguments.webhook {
        let webhook = Webhook::new(backend, url)?;
        let counted = webhook.clone();
        sources.register(&[], move || counted.stats())?.forever();
        alerts.tell(webhook);
    }
    Ok(alerts)
}

fn register<B: Backend>(
    sources: &Sources,
    arguments: &DemoArguments,
    pipeline: &Pipeline<B>,
) -> Result<(), Box<dyn Error>> {
    let runtime = arguments.backend.as_str();
    let build = move || BuildInfo::new(env!("CARGO_PKG_VERSION"), Some(runtime));
    sources.register(&[], build)?.forever();

    let (sent, checker) = (Arc::clone(&pipeline.sent), Arc::clone(&pipeline.checker));
    let uplink = Arc::clone(&pipeline.uplink);
    let figures = move || Figures::new(&sent, &checker, &uplink.counts);
    sources.register(&[], figures)?.forever();

    let pool = pipeline.buffers.clone();
    sources.register(&[("pool", "messages")], move || pool.report())?.forever();
    let uplink = Arc::clone(&pipeline.uplink);
    let labels = [("network", "broker")];
    sources.register(&labels, move || uplink.pool_status())?.forever();
    let uplink = Arc::clone(&pipeline.uplink);
    sources.register(&labels, move || uplink.link_counters())?.forever();

    for (number, lane) in pipeline.lanes.iter().enumerate() {
        let (name, lane) = (format!("lane {number}"), lane.clone());
        sources.register(&[("batch", &name)], move || lane.stats())?.forever();
    }
    let receiver = pipeline.receiver.clone();
    sources.register(&[("batch", "receiver")], move || receiver.stats())?.forever();
    let server = Arc::clone(&pipeline.server);
    sources.register(&[], move || server.stats())?.forever();
    Ok(())
}
