//! What runtimes tell about themselves.

use core::future::pending;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::sync::Arc;

use turbopump::{smol as on_smol, tokio as on_tokio};
use turbopump_std::backend::{Backend, RuntimeFigures};
use turbopump_std::monitor::{Monitor, Sources};

use crate::on_every_backend;
use crate::pages::config;

on_every_backend![a_monitor_shows_what_its_runtime_tells];

async fn a_monitor_shows_what_its_runtime_tells<B: Backend>(backend: B) {
    let sources = Sources::new();
    let monitor = Monitor::start(backend.clone(), config(), sources.clone()).await.unwrap();
    let page = monitor.snapshot().to_prometheus().unwrap();
    let RuntimeFigures { workers, tasks_alive, queue_depth, .. } = backend.runtime_figures();
    for (name, is_told) in [
        ("workers", workers.is_some()),
        ("tasks_alive", tasks_alive.is_some()),
        ("queue_depth", queue_depth.is_some()),
    ] {
        assert_eq!(page.contains(&format!("\nturbopump_runtime_{name} ")), is_told, "{page}");
    }
    if let Some(workers) = workers {
        assert!(page.contains(&format!("turbopump_runtime_workers {workers}\n")), "{page}");
    }
    monitor.stop().await;
    assert!(!sources.snapshot().to_prometheus().unwrap().contains("turbopump_runtime_"));
}

#[test]
fn tokio_tells_workers_tasks_and_what_waits() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let backend = on_tokio::Backend::on(runtime.handle().clone());
    let of = |figures: RuntimeFigures| (figures.workers, figures.tasks_alive, figures.queue_depth);
    assert_eq!(of(backend.runtime_figures()), (Some(1), Some(0), Some(0)));
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    backend.spawn(async move { runs.store(true, Ordering::SeqCst) });
    backend.spawn(pending());
    // Nobody runs them yet.
    assert_eq!(of(backend.runtime_figures()), (Some(1), Some(2), Some(2)));
    runtime.block_on(async {
        while !ran.load(Ordering::SeqCst) || backend.runtime_figures().tasks_alive != Some(1) {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(of(backend.runtime_figures()), (Some(1), Some(1), Some(0)), "one is left");
}

#[test]
fn smol_tells_workers_of_its_global_executor_only() {
    let global = on_smol::Backend::new().runtime_figures();
    assert_eq!((global.tasks_alive, global.queue_depth), (None, None));
    assert!(global.workers.is_some());
    let given = on_smol::Backend::on(&Arc::new(smol::Executor::new()));
    assert_eq!(given.runtime_figures(), RuntimeFigures::default());
}
