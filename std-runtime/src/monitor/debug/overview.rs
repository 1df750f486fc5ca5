//! The page `/debug`: how the monitor is set, what there is, and what has happened.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::Events;
use super::hide::shown;
use crate::monitor::config::MonitorConfig;
use crate::monitor::json;
use crate::monitor::sources::Snapshot;
use crate::tasks;

/// What does not change.
pub(super) fn settings(config: &MonitorConfig) -> Value {
    let pairs = |pairs: &[(String, String)]| -> Value {
        let shown = pairs.iter().map(|(name, value)| (name.clone(), shown(name, value).into()));
        Value::Object(shown.collect::<Map<_, _>>())
    };
    let routes: Vec<_> = config.routes.iter().map(|(path, _)| path.as_str()).collect();
    let checks: Vec<_> = config.checks.iter().map(|(name, _)| name.as_str()).collect();
    json!({
        "monitor": {
            "address": config.address.map(|address| format!("{address}")),
            "debug_address": config.debug_address.map(|address| format!("{address}")),
            "collect_interval_seconds": config.collect_interval.as_secs_f64(),
            "metrics_path": config.metrics_path,
            "labels": pairs(&config.labels),
            "connections_max": config.connections_max,
            "head_timeout_seconds": config.head_timeout.as_secs_f64(),
            "connection_lifetime_seconds": config.connection_lifetime.as_secs_f64(),
            "observers": config.observers.len(),
            "routes": routes,
            "checks": checks,
        },
        "program": pairs(&config.settings),
    })
}

/// Families of pools of memory, and of connections and what runs over them.
const POOLS: [&str; 1] = ["turbopump_mempool_"];
const CONNECTIONS: [&str; 4] =
    ["turbopump_pool_", "turbopump_connections_", "turbopump_network_", "turbopump_request"];

/// All of it, now.
pub(super) fn document(settings: &Value, snapshot: &Snapshot, events: &Events) -> Value {
    let (families, error) = match families(snapshot) {
        Ok(families) => (families, Value::Null),
        Err(error) => (Vec::new(), error.into()),
    };
    let of = |prefixes: &[&str]| -> Vec<&Value> {
        let is_one = |family: &&Value| {
            let name = family["name"].as_str().unwrap_or_default();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        families.iter().filter(is_one).collect()
    };
    let tasks: Vec<_> = tasks::report()
        .kinds
        .iter()
        .map(|kind| json!({"kind": kind.name, "alive": kind.alive, "started": kind.started}))
        .collect();
    json!({
        "at_unix_ms": snapshot.now().unix_ms,
        "error": error,
        "settings": settings,
        "pools": of(&POOLS),
        "connections": of(&CONNECTIONS),
        "tasks": tasks,
        "events": events.to_json(),
    })
}

/// The families of a snapshot, as `/metrics.json` shows them, with labels that may be seen.
fn families(snapshot: &Snapshot) -> Result<Vec<Value>, String> {
    let text = json::of_snapshot(snapshot, &[]).map_err(|error| format!("{error}"))?;
    let mut document: Value = serde_json::from_str(&text).map_err(|error| format!("{error}"))?;
    let Value::Array(mut families) = document["families"].take() else { return Ok(Vec::new()) };
    let series = families.iter_mut().filter_map(|family| family["series"].as_array_mut());
    for labels in series.flatten().filter_map(|series| series["labels"].as_object_mut()) {
        for (name, value) in labels.iter_mut() {
            *value = shown(name, value.as_str().unwrap_or_default()).into();
        }
    }
    Ok(families)
}

/// The same for browsers.
pub(super) fn html(document: &Value) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Turbopump: debug</title>\
         <style>:root{{color-scheme:light dark}}body{{font:14px sans-serif;margin:1em}}</style>\
         <h1>Debug</h1><p><a href=\"/debug/pprof/\">Profiles</a></p><pre>{text}</pre></html>\n"
    )
}

/// The page `/debug/pprof/`.
pub(super) const INDEX: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Turbopump: profiles</title>\
    <style>:root{color-scheme:light dark}body{font:14px sans-serif;margin:1em}</style>\
    <h1>Profiles</h1><ul>\
    <li><a href=\"/debug/pprof/profile?seconds=5&amp;format=flamegraph\">profile</a>: \
    where processor time goes, here 5 seconds as a flame graph; \
    <code>?seconds=1..60</code>, <code>?format=proto|flamegraph</code>\
    <li><a href=\"/debug/pprof/heap\">heap</a>: memory that the registered pools hold\
    <li><a href=\"/debug/pprof/tasks\">tasks</a>: tasks that are alive, by kind</ul>\
    <p>For <code>go tool pprof URL</code>.</html>\n";
