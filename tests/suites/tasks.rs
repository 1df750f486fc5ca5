//! Tasks are counted by kind while they are alive, and nobody's stays. One story at a time, because
//! the counts are the process's.

extern crate alloc;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use smol::lock::Mutex;
use turbopump_core::batch::Batch;
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchSender, BatchSettings, handler_fn};
use turbopump_std::broker::{BrokerConfig, EmbeddedBroker};
use turbopump_std::client::{Client, ClientConfig, Message, ReceivedMessage};
use turbopump_std::monitor::{Monitor, MonitorConfig, Sources};
use turbopump_std::net::{ConnectionPool, PoolSettings};
use turbopump_std::tasks::{self, TaskKind};
use turbopump_tests::on_every_backend;

on_every_backend![
    own_tasks_count_until_they_end,
    handles_leave_no_tasks_behind,
    a_monitor_shows_tasks_and_leaves_none,
    u1_consumers_leave_no_tasks_however_they_end,
];

static ALONE: Mutex<()> = Mutex::new(());
static OWN: TaskKind = TaskKind::new("test_own");
static SAME_NAME: TaskKind = TaskKind::new("test_own");

/// Whoever stops has let go a moment before its task has ended.
async fn until_alive<B: Backend>(backend: &B, name: &str, expected: u64) {
    let end = Instant::now() + Duration::from_secs(30);
    while tasks::report().alive(name) != expected {
        assert!(Instant::now() < end, "{name}: {:?}", tasks::report());
        backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
}

async fn own_tasks_count_until_they_end<B: Backend>(backend: B) {
    let _alone = ALONE.lock().await;
    let started = || tasks::report().kinds.iter().find(|kind| kind.name == "test_own").copied();
    let before = started().map_or(0, |kind| kind.started);
    let (first, last) = (smol::channel::bounded::<()>(1), smol::channel::bounded::<()>(1));
    for (kind, wait) in [(&OWN, first.1.clone()), (&SAME_NAME, last.1.clone())] {
        kind.spawn(&backend, async move {
            // Ends when nobody can send any more.
            let _ = wait.recv().await;
        });
    }
    assert_eq!(tasks::report().alive("test_own"), 2, "kinds of one name are one");
    drop(first);
    until_alive(&backend, "test_own", 1).await;
    drop(last);
    until_alive(&backend, "test_own", 0).await;
    OWN.spawn(&backend, async { panic!("as planned") });
    until_alive(&backend, "test_own", 0).await;
    assert_eq!(started().map(|kind| kind.started), Some(before + 3));
}

async fn handles_leave_no_tasks_behind<B: Backend>(backend: B) {
    let _alone = ALONE.lock().await;
    let mut settings = BatchSettings::default();
    settings.workers = 3;
    let handler = handler_fn(|_: &mut Batch<'static, u64>| ());
    let sender = BatchSender::new(backend.clone(), settings, handler).unwrap();
    sender.start().unwrap();
    let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, 9)).into();
    let pool = ConnectionPool::new(backend.clone(), endpoint, PoolSettings::default()).unwrap();
    let alive = tasks::report();
    assert_eq!((alive.alive("batch_worker"), alive.alive("batch_keeper")), (3, 1));
    assert_eq!(alive.alive("connection_keeper"), 1);
    sender.stop().await;
    pool.close().await;
    drop((sender, pool));
    for kind in ["batch_worker", "batch_keeper", "connection_keeper", "connection_dial"] {
        until_alive(&backend, kind, 0).await;
    }
}

async fn a_monitor_shows_tasks_and_leaves_none<B: Backend>(backend: B) {
    let _alone = ALONE.lock().await;
    let mut config = MonitorConfig::default();
    config.address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let monitor = Monitor::start(backend.clone(), config, Sources::new()).await.unwrap();
    let page = monitor.snapshot().to_prometheus().unwrap();
    for line in [
        "turbopump_tasks_alive{kind=\"monitor_collector\"} 1",
        "turbopump_tasks_alive{kind=\"monitor_listener\"} 1",
    ] {
        assert!(page.lines().any(|own| own == line), "{line} in\n{page}");
    }
    monitor.stop().await;
    for kind in ["monitor_collector", "monitor_listener", "monitor_connection"] {
        until_alive(&backend, kind, 0).await;
    }
}

async fn u1_consumers_leave_no_tasks_however_they_end<B: Backend>(backend: B) {
    let _alone = ALONE.lock().await;
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await.unwrap();
    let config = ClientConfig::new(&broker.name_server_address().to_string());
    for round in 0..20 {
        let client = Client::start(backend.clone(), config.clone()).await.unwrap();
        if round % 2 == 0 {
            client.producer("producers").send(Message::new("Orders", "x")).await.unwrap();
        }
        let builder = client.consumer("group").subscribe("Orders", "*").handlers_max(3);
        let consumer = builder.start(async |_: ReceivedMessage| ()).await.unwrap();
        assert!(client.consumer("group").start(async |_: ReceivedMessage| ()).await.is_err());
        match round % 4 {
            0 => drop(consumer.shutdown(Duration::from_secs(30)).await),
            1 => drop(client.shutdown(Duration::from_secs(30)).await),
            2 => drop(consumer),
            _ => {}
        }
    }
    for kind in [
        "consumer",
        "consumer_queue",
        "consumer_worker",
        "consumer_lock",
        "consumer_asked",
        "client_listener",
        "client_keeper",
        "client_heartbeat",
        "connection_keeper",
    ] {
        until_alive(&backend, kind, 0).await;
    }
    drop(broker);
}
