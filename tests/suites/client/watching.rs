//! What a client counts, after a workload of which everything is known.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use turbopump::core::stats::text::write_prometheus;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{Fault, FaultAction};
use turbopump::runtime::client::{
    Client, ClientConfig, ClientStats, Closed, Message, SendErrorKind,
};

use crate::{config, start};

turbopump_tests::on_every_runtime![
    what_is_counted_is_what_was_done,
    what_fails_is_counted_as_that,
    connections_that_end_say_why,
];

async fn until<B: Backend>(backend: &B, is_so: impl Fn() -> bool) {
    while !is_so() {
        backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
}

fn page(stats: &ClientStats) -> String {
    let mut page = String::new();
    write_prometheus(core::slice::from_ref(stats), &[], &mut page).unwrap();
    page
}

async fn what_is_counted_is_what_was_done<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = Client::start(backend.clone(), config(&broker)).await.unwrap();
    let producer = client.producer("group");
    for _ in 0..20 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
    }
    until(&backend, || client.stats().counts().heartbeats_taken == 1).await;
    let stats = client.stats();
    let [name_server, peer] = stats.peers.as_slice() else { panic!("{stats:?}") };
    assert!(name_server.health.is_name_server && !peer.health.is_name_server);
    assert_eq!((name_server.is_up, peer.is_up), (Some(true), None));
    for one in [name_server, peer] {
        let counts = one.counts;
        assert_eq!((counts.opened, counts.closed_in_all(), counts.dials_failed), (1, 0, 0));
    }
    // The template at the start; the topic, which nobody has made, and the template again.
    let counts = stats.counts();
    assert_eq!((counts.routes_fetched, counts.routes_unknown, counts.routes_failed), (2, 1, 0));
    assert_eq!((counts.heartbeats_taken, counts.heartbeats_failed), (1, 0));
    // Three for routes, twenty messages, a heartbeat.
    let requests = &stats.requests;
    assert_eq!((requests.sent.get(), requests.answered.get()), (24, 24));
    assert_eq!((requests.in_flight.get(), requests.late.get()), (0, 0));
    let (page, address) = (page(&stats), broker.address());
    for line in [
        format!("turbopump_connections_opened_total{{address=\"{address}\"}} 1\n"),
        format!("turbopump_heartbeats_total{{result=\"ok\",address=\"{address}\"}} 1\n"),
        format!("turbopump_broker_isolated{{address=\"{address}\"}} 0\n"),
        format!("turbopump_nameserver_up{{address=\"{}\"}} 1\n", broker.name_server_address()),
        "turbopump_requests_pending 0\n".into(),
    ] {
        assert!(page.contains(&line), "{line}\n{page}");
    }
    for family in ["turbopump_heartbeat_age_seconds{", "turbopump_route_age_seconds "] {
        assert!(page.contains(family), "{family}\n{page}");
    }
    client.close().await;
    let counts = client.stats().counts();
    assert_eq!((counts.opened, counts.closed(Closed::Shutdown)), (2, 2));
    assert_eq!(counts.closed_in_all(), 2);
}

async fn what_fails_is_counted_as_that<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let list = format!("{nobody};{}", broker.name_server_address());
    let client = Client::start(backend.clone(), ClientConfig::new(&list)).await.unwrap();
    let stats = client.stats();
    let [first, second] = stats.peers.as_slice() else { panic!("{stats:?}") };
    assert_eq!((first.is_up, second.is_up), (Some(false), Some(true)));
    assert_eq!((first.counts.routes_failed, second.counts.routes_fetched), (1, 1));
    assert!(first.counts.dials_failed == 1 && first.counts.opened == 0, "{first:?}");
    // A heartbeat that is refused.
    broker.inject(Fault::new(FaultAction::Refuse { code: 1, remark: "no".into() }).of_code(34));
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    until(&backend, || client.stats().counts().heartbeats_failed > 0).await;
    assert_eq!(client.stats().counts().heartbeats_taken, 0);
    let page = page(&client.stats());
    assert!(page.contains(&format!("turbopump_nameserver_up{{address=\"{nobody}\"}} 0\n")));
}

async fn connections_that_end_say_why<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut short = config(&broker);
    short.send.timeout_us = 300_000;
    let client = Client::start(backend.clone(), short).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    until(&backend, || client.stats().counts().heartbeats_taken == 1).await;
    // Nothing is heard of it any more.
    broker.inject(Fault::new(FaultAction::HalfOpen).of_code(310));
    let error = producer.send(Message::new("Orders", "x")).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::Unreachable { .. }), "{error}");
    let stats = client.stats();
    assert!(stats.counts().closed(Closed::Silent) >= 1, "{stats:?}");
    assert!(stats.requests.timed_out.get() >= 1, "{stats:?}");
    let counts = stats.counts();
    let open = stats.peers.iter().filter(|peer| peer.health.is_connected).count() as u64;
    assert_eq!(counts.opened, counts.closed_in_all() + open);
    let line = format!("turbopump_broker_isolated{{address=\"{}\"}} 1\n", broker.address());
    assert!(stats.peers[1].health.is_avoided && page(&stats).contains(&line), "{stats:?}");
    drop(broker);
    until(&backend, || client.stats().counts().closed(Closed::Peer) >= 1).await;
}
