//! The embedded broker over real sockets, the same on every backend.

extern crate alloc;

mod apart;
mod client;
mod disk;
mod security;

use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, Fault, FaultAction, FlushPolicy, Notice, StoreConfig, User,
};
use turbopump::runtime::tasks;

use client::Client;

turbopump_tests::on_every_runtime![
    a_message_is_sent_and_pulled,
    u10_a_hundred_brokers_are_apart,
    u10_clients_are_told_the_address_that_is_advertised,
    delays_are_over_when_the_clock_says_so,
    faults_are_played_and_requests_written_down,
    long_frames_and_long_answers_pass,
    frames_that_never_end_leave_room_for_others,
    whoever_sends_something_else_is_closed,
    messages_are_there_when_it_is_started_again,
    signatures_are_asked_for,
    nothing_is_left_when_it_has_ended,
];

async fn start<B: Backend>(backend: B) -> EmbeddedBroker<B> {
    EmbeddedBroker::start(backend, BrokerConfig::default()).await.unwrap()
}

/// Runs what blocks beside the runtime.
async fn beside<B: Backend, T: Send + 'static>(
    backend: &B,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    backend.run_blocking(work).await
}

async fn a_message_is_sent_and_pulled<B: Backend>(backend: B) {
    let begin = Instant::now();
    let broker = start(backend.clone()).await;
    let (address, name_server) = (broker.address(), broker.name_server_address());
    assert!(address.ip().is_loopback() && name_server != address);
    beside(&backend, move || {
        let mut client = Client::connect(address);
        assert_eq!(client.produce("Orders", 0, b"hello", "TAGS\u{1}t\u{2}").code, 0);
        eprintln!("{:?} from the start to the first acknowledgement", begin.elapsed());
        assert_eq!(client.pull("Orders", 0, 0).bodies(), [b"hello"]);
        let mut client = Client::connect(name_server);
        let route = client.ask(105, &[("topic", "Orders")], b"");
        let route = String::from_utf8(route.body).unwrap();
        assert!(route.contains(&address.to_string()), "{route}");
    })
    .await;
    let stats = broker.stats();
    assert_eq!((stats.counts.messages_sent, stats.counts.messages_pulled), (1, 1));
    broker.shutdown().await;
}

async fn u10_a_hundred_brokers_are_apart<B: Backend>(backend: B) {
    let mut brokers = Vec::new();
    for _ in 0..100 {
        brokers.push(start(backend.clone()).await);
    }
    let addresses: Vec<_> = brokers.iter().map(EmbeddedBroker::address).collect();
    beside(&backend, move || {
        for (number, address) in addresses.iter().enumerate() {
            let mut client = Client::connect(*address);
            let body = number.to_string();
            assert_eq!(client.produce("Orders", 0, body.as_bytes(), "").code, 0);
        }
        for (number, address) in addresses.iter().enumerate() {
            let got = Client::connect(*address).pull("Orders", 0, 0);
            assert_eq!(got.bodies(), [number.to_string().as_bytes()]);
        }
    })
    .await;
    for broker in brokers {
        broker.shutdown().await;
    }
}

async fn u10_clients_are_told_the_address_that_is_advertised<B: Backend>(backend: B) {
    let mut config = BrokerConfig::default();
    config.advertised = Some(([10, 1, 2, 3], 10_911).into());
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    let (address, name_server) = (broker.address(), broker.name_server_address());
    assert!(address.ip().is_loopback());
    beside(&backend, move || {
        // Found where it listens, whatever it says.
        let mut client = Client::connect(address);
        assert_eq!(client.produce("Orders", 0, b"hello", "").code, 0);
        let route = Client::connect(name_server).ask(105, &[("topic", "Orders")], b"");
        let route = String::from_utf8(route.body).unwrap();
        assert!(route.contains("10.1.2.3:10911") && !route.contains("127.0.0.1"), "{route}");
    })
    .await;
}

async fn delays_are_over_when_the_clock_says_so<B: Backend>(backend: B) {
    let broker = start(backend.clone()).await;
    let address = broker.address();
    let mut client = beside(&backend, move || {
        let mut client = Client::connect(address);
        client.produce("Orders", 0, b"tomorrow", "DELAY\u{1}18\u{2}");
        assert_eq!(client.pull("Orders", 0, 0).code, 19);
        client
    })
    .await;
    broker.advance_clock(Duration::from_secs(2 * 3_600));
    // It is there now; a pull that waits finds it, however that races with the clock's task.
    let got = beside(&backend, move || client.pull_waiting("Orders", 0, 0)).await;
    assert_eq!(got.bodies(), [b"tomorrow"]);
}

async fn faults_are_played_and_requests_written_down<B: Backend>(backend: B) {
    let broker = start(backend.clone()).await;
    let address = broker.address();
    broker.keep_journal(100);
    let remark = "[TIMEOUT_CLEAN_QUEUE]broker busy".to_owned();
    broker.inject(Fault::new(FaultAction::Refuse { code: 2, remark }).of_code(310).times(2));
    beside(&backend, move || {
        let mut client = Client::connect(address);
        let codes = [(); 3].map(|()| client.produce("Orders", 0, b"x", "").code);
        assert_eq!(codes, [2, 2, 0]);
    })
    .await;
    let journal = broker.take_journal();
    assert_eq!(journal.iter().map(|entry| entry.code).collect::<Vec<_>>(), [310; 3]);
    broker.inject(Fault::new(FaultAction::Close));
    beside(&backend, move || assert!(Client::connect(address).gets_closed_by(105))).await;
}

async fn long_frames_and_long_answers_pass<B: Backend>(backend: B) {
    let broker = start(backend.clone()).await;
    let address = broker.address();
    beside(&backend, move || {
        let mut client = Client::connect(address);
        let bodies: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 1 + usize::from(n) * 10_000]).collect();
        for body in &bodies {
            assert_eq!(client.produce("Orders", 0, body, "").code, 0);
        }
        let mut got = Vec::new();
        while got.len() < bodies.len() {
            got.extend(client.pull("Orders", 0, got.len() as u64).bodies());
        }
        assert!(got == bodies);
        let longest = vec![7; 4 << 20];
        assert_eq!(client.produce("Orders", 1, &longest, "").code, 0);
        assert!(client.pull("Orders", 1, 0).bodies() == [longest]);
        assert_eq!(client.produce("Orders", 1, &vec![7; (4 << 20) + 1], "").code, 13);
    })
    .await;
}

async fn frames_that_never_end_leave_room_for_others<B: Backend>(backend: B) {
    let mut config = BrokerConfig::default();
    config.limits.receiving_bytes_max = 5 << 20;
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    let address = broker.address();
    beside(&backend, move || {
        for _ in 0..20 {
            // Four MiB are announced, and the connection ends.
            assert!(
                Client::connect(address).gets_closed_within(&[0, 0x40, 0, 0, 0, 0, 0, 9, b'{'])
            );
        }
        let body = vec![7; 4 << 20];
        assert_eq!(Client::connect(address).produce("Orders", 0, &body, "").code, 0);
    })
    .await;
}

async fn whoever_sends_something_else_is_closed<B: Backend>(backend: B) {
    let broker = start(backend.clone()).await;
    let address = broker.address();
    beside(&backend, move || {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], b"\0\0\0\x08\0\0\0\x04abcd"] {
            assert!(Client::connect(address).gets_closed_after(garbage));
        }
        assert_eq!(Client::connect(address).produce("Orders", 0, b"x", "").code, 0);
    })
    .await;
    let notices: Vec<Notice> = core::iter::from_fn(|| broker.poll_notice()).collect();
    assert_eq!(notices.len(), 3, "{notices:?}");
}

async fn messages_are_there_when_it_is_started_again<B: Backend>(backend: B) {
    let unique = format!("turbopump-broker-{}-{:p}", std::process::id(), &backend);
    let folder = std::env::temp_dir().join(unique);
    let config = |flush| {
        let mut store = StoreConfig::new(&folder);
        store.flush = flush;
        let mut config = BrokerConfig::default();
        config.store = Some(store);
        config
    };
    let interval = FlushPolicy::Interval(Duration::from_millis(1));
    let policies = [FlushPolicy::Always, interval, FlushPolicy::Never];
    for (round, flush) in policies.into_iter().enumerate() {
        let broker = EmbeddedBroker::start(backend.clone(), config(flush)).await.unwrap();
        let address = broker.address();
        beside(&backend, move || {
            let mut client = Client::connect(address);
            let body = vec![round as u8; 1_000];
            let before = 50 * round as u64;
            for n in 0..50 {
                let sent = client.produce("Orders", 0, &body, "");
                assert_eq!((sent.code, sent.number("queueOffset")), (0, before + n));
            }
            // From disk and from memory.
            let mut next = 0;
            while next < before + 50 {
                let bodies = client.pull("Orders", 0, next).bodies();
                assert!(!bodies.is_empty());
                for body in bodies {
                    assert_eq!(body, vec![(next / 50) as u8; 1_000]);
                    next += 1;
                }
            }
        })
        .await;
        let second = EmbeddedBroker::start(backend.clone(), config(flush)).await;
        assert!(second.is_err(), "two brokers have one folder");
        broker.shutdown().await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn signatures_are_asked_for<B: Backend>(backend: B) {
    let mut config = BrokerConfig::default();
    let user = User { access_key: "somebody".into(), secret_key: "secret".into() };
    config.users.push(user);
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    let address = broker.address();
    beside(&backend, move || {
        assert_eq!(Client::connect(address).ask(105, &[("topic", "TBW102")], b"").code, 16);
        let mut client = Client::connect(address).signing("somebody", "secret");
        assert_eq!(client.ask(105, &[("topic", "TBW102")], b"").code, 0);
        assert_eq!(client.produce("Orders", 0, b"x", "").code, 0);
    })
    .await;
}

async fn nothing_is_left_when_it_has_ended<B: Backend>(backend: B) {
    for _ in 0..20 {
        let broker = start(backend.clone()).await;
        let address = broker.address();
        let client = beside(&backend, move || {
            let mut client = Client::connect(address);
            client.produce("Orders", 0, b"x", "");
            client
        })
        .await;
        broker.shutdown().await;
        assert!(beside(&backend, move || client.gets_closed()).await);
    }
    // Those of other tests in this process may be alive; each counts for itself.
    let alive = tasks::report().alive("broker_listener");
    assert!(alive < 1_000, "{alive} listeners");
}
