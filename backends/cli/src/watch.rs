//! The monitor of a command that sends or receives, where one is asked for.

use core::error::Error;
use core::net::SocketAddr;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{Client, Producer, alert_rules};
use turbopump::runtime::monitor::alerts::default_rules;
use turbopump::runtime::monitor::{Monitor, MonitorConfig, Sources};

use crate::arguments::BackendName;
use crate::broker::run_monitor;

/// A monitor, where there is one.
pub(crate) struct Watch<B: Backend>(Option<Monitor<B>>);

impl<B: Backend> Watch<B> {
    pub(crate) async fn stop(self) {
        if let Some(monitor) = self.0 {
            monitor.stop().await;
        }
    }
}

/// What a producer counts.
pub(crate) fn producer<B: Backend>(
    producer: &Producer<B>,
) -> impl FnOnce(&Sources) -> Result<(), Box<dyn Error>> + use<B> {
    let sends = producer.clone();
    move |sources| {
        sources.register(&[], move || sends.stats())?.forever();
        Ok(())
    }
}

/// Shows what a client counts, and what `register` adds, until the monitor is stopped.
pub(crate) async fn start<B: Backend>(
    backend: B,
    runtime: BackendName,
    address: Option<SocketAddr>,
    client: &Client<B>,
    register: impl FnOnce(&Sources) -> Result<(), Box<dyn Error>>,
) -> Result<Watch<B>, Box<dyn Error>> {
    let Some(address) = address else { return Ok(Watch(None)) };
    let sources = Sources::new();
    let asked = client.clone();
    sources.register(&[], move || asked.health())?.forever();
    let counted = client.clone();
    sources.register(&[], move || counted.stats())?.forever();
    let held = client.clone();
    sources.register(&[("pool", "client")], move || held.memory())?.forever();
    register(&sources)?;
    let mut config = MonitorConfig::default();
    let ready = client.clone();
    config.ready_when("client", move || match ready.health().is_ready() {
        true => Ok(()),
        false => Err("no broker is connected that has answered a heartbeat lately".into()),
    });
    let mut rules = default_rules();
    rules.extend(alert_rules(client.config()));
    Ok(Watch(Some(run_monitor(backend, runtime, address, sources, config, rules).await?)))
}
