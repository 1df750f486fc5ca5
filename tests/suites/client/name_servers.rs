//! Name servers that are named by lists that are fetched, that change, and whose names do.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::name_server::NameServerConfig;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, EmbeddedNameServer};
use turbopump::runtime::client::{Client, ClientConfig, Closed, ConnectError, Message};
use turbopump::runtime::net::tls::TlsServer;
use turbopump_tests::certificates::{Authority, server, trusting};
use turbopump_tests::named::Named;

turbopump_tests::on_every_runtime![
    u9_lists_are_fetched_and_followed,
    u9_lists_are_fetched_over_tls_that_is_verified,
    u9_what_an_address_server_said_holds_while_it_is_away,
    u9_address_servers_that_say_nothing_useful_are_told,
    u9_other_name_servers_are_set_at_run_time,
    u9_names_are_looked_up_again_while_connections_are_open,
    u9_other_name_servers_are_found_at_once_where_none_answers,
];

/// Answers every request by what it has at the moment.
struct AddressServer {
    address: SocketAddr,
    answers: Arc<Mutex<(String, u32)>>,
}

impl AddressServer {
    async fn start<B: Backend>(backend: &B, list: &str, tls: Option<TlsServer>) -> Self {
        let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = B::local_address(&listener).unwrap();
        let answers = Arc::new(Mutex::new((list.to_owned(), 0)));
        let ours = Arc::clone(&answers);
        backend.clone().spawn(async move {
            let options = SocketOptions::default();
            while let Ok((reader, writer, _)) = B::accept(&mut listener, &options).await {
                match &tls {
                    None => answer(reader, writer, &ours).await,
                    Some(tls) => {
                        if let Ok((reader, writer)) = tls.accept_over(reader, writer).await {
                            answer(reader, writer, &ours).await;
                        }
                    }
                }
            }
        });
        Self { address, answers }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/rocketmq/nsaddr?token=secret", self.address)
    }

    /// The list, or no answer at all where it is empty.
    fn set(&self, list: &str) {
        self.answers.lock().unwrap().0 = list.to_owned();
    }

    fn asked(&self) -> u32 {
        self.answers.lock().unwrap().1
    }
}

async fn answer(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    answers: &Mutex<(String, u32)>,
) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match reader.read(&mut byte).await {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /rocketmq/nsaddr?token=secret HTTP/1.0\r\nHost: 127.0.0.1:"));
    let list = {
        let mut answers = answers.lock().unwrap();
        answers.1 += 1;
        answers.0.clone()
    };
    if !list.is_empty() {
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
        let _ = writer.write_all(head.as_bytes()).await;
        let _ = writer.close().await;
    }
}

/// Name servers, and a broker that is registered at all of them.
async fn apart<B: Backend>(
    backend: &B,
    count: usize,
) -> (Vec<EmbeddedNameServer<B>>, EmbeddedBroker<B>) {
    let mut name_servers = Vec::new();
    for _ in 0..count {
        let started = EmbeddedNameServer::start(backend.clone(), NameServerConfig::default());
        name_servers.push(started.await.unwrap());
    }
    let mut settings = BrokerConfig::default();
    settings.name_server = None;
    settings.register_at = name_servers.iter().map(|server| server.address().into()).collect();
    let broker = EmbeddedBroker::start(backend.clone(), settings).await.unwrap();
    wait_for(backend, || name_servers.iter().all(|server| server.stats().brokers == 1)).await;
    (name_servers, broker)
}

async fn wait_for<B: Backend>(backend: &B, mut is_true: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < until, "it does not come");
        backend.sleep_until(Instant::now() + Duration::from_millis(2)).await;
    }
}

/// Asks for routes with every message, and looks for name servers all the time.
fn restless(list: &str) -> ClientConfig {
    let mut config = ClientConfig::new(list);
    config.route_age_max = Duration::ZERO;
    config.name_servers_interval = Duration::from_millis(10);
    config
}

fn text<B: Backend>(server: &EmbeddedNameServer<B>) -> String {
    server.address().to_string()
}

/// Requests that are not the broker's registrations.
fn asked<B: Backend>(server: &EmbeddedNameServer<B>) -> u64 {
    let counts = server.stats().counts;
    counts.requests_granted + counts.requests_refused - counts.registrations
}

async fn u9_lists_are_fetched_and_followed<B: Backend>(backend: B) {
    let (servers, broker) = apart(&backend, 2).await;
    let list = AddressServer::start(&backend, &format!("{}\n", text(&servers[0])), None).await;
    let client = Client::start(backend.clone(), restless(&list.url("http"))).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!((servers[0].stats().connections, servers[1].stats().connections), (2, 1));
    // Somebody else is named: the first one is let go, and not asked again.
    list.set(&text(&servers[1]));
    wait_for(&backend, || servers[0].stats().connections == 1).await;
    let before = asked(&servers[0]);
    for _ in 0..5 {
        producer.send(Message::new("Orders", "x")).await.unwrap();
    }
    producer.send(Message::new("Others", "x")).await.unwrap();
    assert_eq!(asked(&servers[0]), before);
    assert_eq!(servers[1].stats().connections, 2);
    assert_eq!(broker.stats().counts.messages_sent, 7);
    let endpoints = client.health().peers;
    let named: Vec<_> = endpoints.iter().filter(|peer| peer.is_name_server).collect();
    assert_eq!(named[0].endpoint.to_string(), text(&servers[1]));
    assert_eq!(named.len(), 1);
}

async fn u9_lists_are_fetched_over_tls_that_is_verified<B: Backend>(backend: B) {
    let (own, foreign) = (Authority::new("Own"), Authority::new("Foreign"));
    let identity = server(own.server(&["127.0.0.1"]));
    let list = AddressServer::start(&backend, "127.0.0.1:1", Some(identity)).await;
    for (tls, expected) in [
        // Nobody is at the address, but it is known.
        (Some(trusting(&own)), "no name server of"),
        (Some(trusting(&foreign)), "no list of name servers could be fetched"),
        (None, "https needs the client's `tls`"),
    ] {
        let mut config = ClientConfig::new(&list.url("https"));
        config.tls = tls;
        config.send.timeout_us = 1_000_000;
        assert!(!format!("{config:?}").contains("secret"));
        let error = Client::start(backend.clone(), config).await.map(|_| ()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
    assert_eq!(list.asked(), 1);
}

async fn u9_what_an_address_server_said_holds_while_it_is_away<B: Backend>(backend: B) {
    let (servers, broker) = apart(&backend, 1).await;
    let list = AddressServer::start(&backend, &text(&servers[0]), None).await;
    let client = Client::start(backend.clone(), restless(&list.url("http"))).await.unwrap();
    list.set("");
    let asked = list.asked();
    wait_for(&backend, || list.asked() > asked + 3).await;
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(broker.stats().counts.messages_sent, 1);
    // What it says then is no list.
    list.set("<html>");
    let asked = list.asked();
    wait_for(&backend, || list.asked() > asked + 3).await;
    client.producer("group").send(Message::new("Others", "x")).await.unwrap();
}

async fn u9_address_servers_that_say_nothing_useful_are_told<B: Backend>(backend: B) {
    let list = AddressServer::start(&backend, "<html>", None).await;
    let start = async |list: &str| {
        let mut config = ClientConfig::new(list);
        config.send.timeout_us = 500_000;
        Client::start(backend.clone(), config).await.map(|_| ()).unwrap_err()
    };
    let error = start(&list.url("http")).await;
    assert!(matches!(error, ConnectError::AddressServer { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("\"<html>\" where a host should be"), "{error}");
    assert!(error.contains(&list.address.to_string()) && !error.contains("secret"), "{error}");
    let error = start("http://127.0.0.1:1/list").await.to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");
    let error = start("http://user:secret@127.0.0.1:1/list").await.to_string();
    assert!(error.contains("has a user in it"), "{error}");
    // One of the list is enough, whatever the others do.
    let (servers, _broker) = apart(&backend, 1).await;
    let both = format!("http://127.0.0.1:1/list;{}", text(&servers[0]));
    let client = Client::start(backend.clone(), ClientConfig::new(&both)).await.unwrap();
    client.producer("group").send(Message::new("Orders", "x")).await.unwrap();
}

async fn u9_other_name_servers_are_set_at_run_time<B: Backend>(backend: B) {
    let (servers, broker) = apart(&backend, 2).await;
    let config = ClientConfig::new(&text(&servers[0]));
    let client = Client::start(backend.clone(), config).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    for (list, expected) in [
        ("a:port", "has a port"),
        ("", "names nobody"),
        ("http://127.0.0.1:1/list", "could be fetched"),
    ] {
        let error = client.set_name_servers(list).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        producer.send(Message::new("Orders", "x")).await.unwrap();
    }
    client.set_name_servers(&text(&servers[1])).await.unwrap();
    wait_for(&backend, || servers[0].stats().connections == 1).await;
    let before = asked(&servers[0]);
    let others = asked(&servers[1]);
    // The routes are asked for again at once.
    producer.send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!(asked(&servers[1]), others + 1);
    producer.send(Message::new("Others", "x")).await.unwrap();
    assert_eq!(asked(&servers[0]), before);
    assert_eq!(broker.stats().counts.messages_sent, 6);
    // By whom there is nobody: what is known is gone on with.
    let mut list = "127.0.0.1:1".to_owned();
    client.set_name_servers(&list).await.unwrap();
    producer.send(Message::new("Orders", "x")).await.unwrap();
    // The same once more changes nothing.
    list.push(';');
    client.set_name_servers(&list).await.unwrap();
    assert_eq!(client.health().peers.len(), 2);
}

async fn u9_names_are_looked_up_again_while_connections_are_open<B: Backend>(backend: B) {
    let (servers, broker) = apart(&backend, 2).await;
    let named = Named::new(backend.clone(), &[servers[0].address()]);
    let client = Client::start(named.clone(), restless("name-server.example:9876")).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    let looked = named.lookups();
    // As long as it is among them, it stays, and while nobody knows the name.
    named.change(&[servers[1].address(), servers[0].address()]);
    wait_for(&backend, || named.lookups() > looked + 3).await;
    named.change(&[]);
    let looked = named.lookups();
    wait_for(&backend, || named.lookups() > looked + 3).await;
    producer.send(Message::new("Orders", "x")).await.unwrap();
    assert_eq!((servers[0].stats().connections, servers[1].stats().connections), (2, 1));
    named.change(&[servers[1].address()]);
    wait_for(&backend, || servers[0].stats().connections == 1).await;
    producer.send(Message::new("Others", "x")).await.unwrap();
    wait_for(&backend, || servers[1].stats().connections == 2).await;
    assert_eq!(broker.stats().counts.messages_sent, 3);
    let stats = client.stats();
    let moved = stats.peers.iter().map(|peer| peer.counts.closed(Closed::Moved)).sum::<u64>();
    assert_eq!(moved, 1);
}

async fn u9_other_name_servers_are_found_at_once_where_none_answers<B: Backend>(backend: B) {
    let (mut servers, broker) = apart(&backend, 2).await;
    let list = AddressServer::start(&backend, &text(&servers[0]), None).await;
    let mut config = restless(&list.url("http"));
    // It would be a long time until it looks by itself.
    config.name_servers_interval = Duration::from_secs(3_600);
    config.name_server_timeout = Duration::from_millis(100);
    let client = Client::start(backend.clone(), config).await.unwrap();
    let producer = client.producer("group");
    producer.send(Message::new("Orders", "x")).await.unwrap();
    list.set(&text(&servers[1]));
    servers.remove(0).shutdown().await;
    // A topic of which nothing is known yet.
    let until = Instant::now() + Duration::from_secs(20);
    while producer.send(Message::new("Others", "x")).await.is_err() {
        assert!(Instant::now() < until);
    }
    assert_eq!(list.asked(), 2);
    assert!(broker.stats().counts.messages_sent >= 2);
}
