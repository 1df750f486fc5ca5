//! Name servers that stand apart, and brokers that register at them.

use std::time::Duration;

use turbopump::runtime::backend::{Backend, Endpoint};
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Notice, TlsConfig, TlsMode,
};
use turbopump_tests::certificates::{Authority, server, trusting};

use crate::beside;
use crate::client::Client;

turbopump_tests::on_every_runtime![
    brokers_register_at_all_name_servers_and_say_farewell,
    a_name_server_that_was_away_is_told_again,
    registering_is_encrypted_where_that_is_asked_for,
];

/// What was noted until now, once there is this much; nothing waits but for the broker's tasks.
async fn notices<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>, len: usize) -> Vec<Notice> {
    let mut notices = Vec::new();
    for _ in 0..3_000 {
        notices.extend(core::iter::from_fn(|| broker.poll_notice()));
        if notices.len() >= len {
            return notices;
        }
        let soon = std::time::Instant::now() + Duration::from_millis(10);
        backend.sleep_until(soon).await;
    }
    panic!("only {notices:?}");
}

fn is_well(notice: &Notice) -> bool {
    matches!(notice, Notice::Registered { failure: None, .. })
}

async fn brokers_register_at_all_name_servers_and_say_farewell<B: Backend>(backend: B) {
    let mut name_servers = Vec::new();
    for _ in 0..2 {
        let config = NameServerConfig::default();
        name_servers.push(EmbeddedNameServer::start(backend.clone(), config).await.unwrap());
    }
    let addresses: Vec<_> = name_servers.iter().map(EmbeddedNameServer::address).collect();
    let mut brokers = Vec::new();
    for name in ["broker-a", "broker-b"] {
        let mut config = BrokerConfig::default();
        config.name_server = None;
        config.broker_name = name.into();
        config.register_at = addresses.iter().copied().map(Endpoint::from).collect();
        let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
        assert!(notices(&backend, &broker, 2).await.iter().all(is_well));
        brokers.push(broker);
    }
    assert_eq!(name_servers.iter().map(|own| own.stats().brokers).collect::<Vec<_>>(), [2, 2]);
    let broker_addresses: Vec<_> = brokers.iter().map(EmbeddedBroker::address).collect();
    let own = broker_addresses.clone();
    beside(&backend, move || {
        for address in &broker_addresses {
            let code = Client::connect(*address).produce("Orders", 0, b"x", "").code;
            assert_eq!(code, 0);
        }
        for address in addresses {
            // The topic is as new as can be.
            let mut client = Client::connect(address);
            let route = (0..3_000).find_map(|_| {
                let answer = client.ask(105, &[("topic", "Orders")], b"");
                let body = String::from_utf8(answer.body).unwrap();
                let is_whole = broker_addresses.iter().all(|own| body.contains(&own.to_string()));
                std::thread::sleep(Duration::from_millis(if is_whole { 0 } else { 10 }));
                is_whole.then_some(body)
            });
            assert!(route.is_some(), "the name server is not told of new topics");
        }
    })
    .await;
    brokers.pop().unwrap().shutdown().await;
    for name_server in &name_servers {
        assert_eq!(name_server.stats().brokers, 1, "farewell was said");
    }
    let address = name_servers[0].address();
    beside(&backend, move || {
        let route = Client::connect(address).ask(105, &[("topic", "Orders")], b"");
        let route = String::from_utf8(route.body).unwrap();
        assert!(route.contains(&own[0].to_string()) && !route.contains(&own[1].to_string()));
    })
    .await;
}

async fn a_name_server_that_was_away_is_told_again<B: Backend>(backend: B) {
    let name_server = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
    let name_server = name_server.await.unwrap();
    let address = name_server.address();
    let mut config = BrokerConfig::default();
    config.name_server = None;
    config.register_at = vec![address.into()];
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    assert!(notices(&backend, &broker, 1).await.iter().all(is_well));
    name_server.shutdown().await;
    let away = notices(&backend, &broker, 1).await;
    assert!(!is_well(&away[0]), "{away:?}");
    let mut config = NameServerConfig::default();
    config.listen = address;
    let name_server = EmbeddedNameServer::start(backend.clone(), config).await.unwrap();
    assert!(notices(&backend, &broker, 1).await.iter().all(is_well));
    assert_eq!(name_server.stats().brokers, 1);
    let counts = broker.stats().counts;
    assert_eq!((counts.registrations, counts.registration_failures), (2, 1));
}

async fn registering_is_encrypted_where_that_is_asked_for<B: Backend>(backend: B) {
    let (own, foreign) = (Authority::new("Own"), Authority::new("Foreign"));
    let mut config = NameServerConfig::default();
    let identity = own.server(&["127.0.0.1"]);
    config.tls = Some(TlsConfig::new(server(identity), TlsMode::Enforcing));
    let name_server = EmbeddedNameServer::start(backend.clone(), config).await.unwrap();
    for (tls, is_taken) in
        [(Some(trusting(&own)), true), (Some(trusting(&foreign)), false), (None, false)]
    {
        let mut config = BrokerConfig::default();
        config.register_at = vec![name_server.address().into()];
        config.register_tls = tls;
        let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
        let first = notices(&backend, &broker, 1).await.swap_remove(0);
        assert_eq!(is_well(&first), is_taken, "{first}");
        broker.shutdown().await;
    }
    assert!(name_server.stats().counts.connections_insecure >= 2);
}
