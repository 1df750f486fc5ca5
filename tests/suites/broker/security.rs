//! Who may come in, over real sockets: TLS, client certificates, signatures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turbopump::core::pool::{ClassLayout, Layout};
use turbopump::core::rocketmq::wire::acl::Credentials;
use turbopump::core::rocketmq::wire::header::{FLAG_RESPONSE, request_code};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, Notice, TlsConfig, TlsMode, User};
use turbopump::runtime::memory::BufferPool;
use turbopump::runtime::net::RequestLinkConfig;
use turbopump::runtime::net::tls::{
    CertificateFault, ClientSettings, ServerSettings, TlsClient, TlsError, TlsServer,
};
use turbopump::runtime::rocketmq::RemotingLink;
use turbopump_tests::certificates::{Authority, Purpose, Validity, client, server, trusting};

use crate::beside;
use crate::client::Client;

turbopump_tests::on_every_runtime![
    by_default_whoever_wants_to_is_encrypted,
    nobody_comes_in_unencrypted_where_that_is_so,
    u11_certificates_that_are_wrong_are_refused_and_right_ones_are_not,
    u12_no_request_is_served_without_a_signature,
    who_can_be_reached_by_anybody_says_so,
];

const WITHIN: Duration = Duration::from_secs(30);

async fn secured<B: Backend>(backend: &B, server: TlsServer, mode: TlsMode) -> EmbeddedBroker<B> {
    let mut config = BrokerConfig::default();
    config.tls = Some(TlsConfig::new(server, mode));
    EmbeddedBroker::start(backend.clone(), config).await.unwrap()
}

/// A link to the broker over TLS; what goes wrong while it is made.
async fn link<B: Backend>(
    backend: &B,
    address: SocketAddr,
    tls: &TlsClient,
) -> Result<RemotingLink, TlsError> {
    let halves = backend.dial(address, &SocketOptions::default()).await.unwrap();
    let halves = tls.connect(backend, "127.0.0.1", halves, Instant::now() + WITHIN).await?;
    let classes = [ClassLayout::new(1_024, 16), ClassLayout::new(2 << 20, 2)];
    let buffers = BufferPool::new(&Layout::new(&classes).unwrap());
    let config = RequestLinkConfig::default();
    Ok(RemotingLink::over(backend, halves, buffers, &config).unwrap())
}

/// The code of the answer; `None` where there is none.
async fn route(link: &RemotingLink) -> Option<i32> {
    let fields = [("topic", "TBW102")];
    let code = request_code::GET_ROUTEINFO_BY_TOPIC;
    let answer = link.ask(code, &fields, b"", WITHIN).await.ok()?;
    Some(answer.frame().unwrap().header.code)
}

async fn by_default_whoever_wants_to_is_encrypted<B: Backend>(backend: B) {
    let authority = Authority::new("Own");
    let server = server(authority.server(&["127.0.0.1"]));
    let broker = secured(&backend, server, TlsMode::Permissive).await;
    let address = broker.address();
    let link = link(&backend, address, &trusting(&authority)).await.unwrap();
    assert_eq!(route(&link).await, Some(0));
    // A frame that is longer than a record and than what is read at once.
    let body = vec![7; 1 << 20];
    let fields = [("a", "p"), ("b", "Orders"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "0")];
    let more = [("g", "0"), ("h", "0"), ("j", "0")];
    let code = request_code::SEND_MESSAGE_V2;
    let answer = link.ask(code, &(fields, more), &body[..], WITHIN).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, 0);
    link.close().await;
    beside(&backend, move || {
        let mut client = Client::connect(address);
        assert_eq!(client.ask(105, &[("topic", "TBW102")], b"").code, 0);
        let pulled = client.pull("Orders", 0, 0);
        assert!(pulled.bodies() == [body]);
    })
    .await;
    assert_eq!(broker.stats().counts.connections_insecure, 0);
    broker.shutdown().await;
}

async fn nobody_comes_in_unencrypted_where_that_is_so<B: Backend>(backend: B) {
    let authority = Authority::new("Own");
    let server = server(authority.server(&["127.0.0.1"]));
    let broker = secured(&backend, server, TlsMode::Enforcing).await;
    let address = broker.address();
    beside(&backend, move || {
        assert!(Client::connect(address).gets_closed_by(105));
        // Something that begins as a handshake does, and is none.
        assert!(Client::connect(address).gets_ended_after(&[0x16, 0xff, 0xff, 0xff, 0xff, 0xff]));
        // Nobody is blamed for saying nothing.
        assert!(Client::connect(address).gets_closed_within(&[]));
    })
    .await;
    let link = link(&backend, address, &trusting(&authority)).await.unwrap();
    assert_eq!(route(&link).await, Some(0));
    let notices: Vec<Notice> = core::iter::from_fn(|| broker.poll_notice()).collect();
    let insecure = notices.iter().filter(|notice| matches!(notice, Notice::Insecure { .. }));
    assert_eq!(insecure.count(), 2, "{notices:?}");
    assert_eq!(broker.stats().counts.connections_insecure, 2);
}

async fn u11_certificates_that_are_wrong_are_refused_and_right_ones_are_not<B: Backend>(
    backend: B,
) {
    let (own, foreign) = (Authority::new("Own"), Authority::new("Foreign"));
    let trusts = |authority: &Authority| ClientSettings::new().trust(authority.pem());
    // What clients think of the broker.
    let expired = own.issue(&["127.0.0.1"], Validity::Past, Purpose::Server).pem();
    for (identity, client, expected) in [
        (own.server(&["127.0.0.1"]), trusting(&foreign), CertificateFault::UnknownIssuer),
        (expired, trusting(&own), CertificateFault::Expired),
        (
            own.server(&["127.0.0.1"]),
            client(trusts(&own).server_name("broker.example")),
            CertificateFault::WrongName {
                expected: "broker.example".into(),
                presented: "IpAddress(127.0.0.1)".into(),
            },
        ),
    ] {
        let broker = secured(&backend, server(identity), TlsMode::Enforcing).await;
        match link(&backend, broker.address(), &client).await {
            Err(TlsError::Certificate(fault)) => assert_eq!(fault, expected),
            other => panic!("{expected:?} is wanted, not {other:?}"),
        }
        broker.shutdown().await;
    }
    // Where routes give addresses, the name is said.
    let named =
        secured(&backend, server(own.server(&["broker.example"])), TlsMode::Enforcing).await;
    let client_of_name = client(trusts(&own).server_name("broker.example"));
    let linked = link(&backend, named.address(), &client_of_name).await.unwrap();
    assert_eq!(route(&linked).await, Some(0));
    // What the broker thinks of clients.
    let settings = ServerSettings::new(own.server(&["127.0.0.1"]));
    let settings = settings.require_client_certificate(own.pem());
    let server = TlsServer::new(settings).unwrap();
    let broker = secured(&backend, server, TlsMode::Permissive).await;
    for (client, is_served) in [
        (client(trusts(&own).identity(own.client())), true),
        (client(trusts(&own).identity(foreign.client())), false),
        (trusting(&own), false),
    ] {
        // With TLS 1.3 the client's handshake may end before the broker has looked.
        let served = match link(&backend, broker.address(), &client).await {
            Ok(link) => route(&link).await.is_some(),
            Err(_) => false,
        };
        assert_eq!(served, is_served);
    }
    // Somebody who does not want to know.
    let any = ClientSettings::new().dangerous_accept_any_certificate();
    let any = client(any.identity(own.client()));
    let linked = link(&backend, broker.address(), &any).await.unwrap();
    assert_eq!(route(&linked).await, Some(0));
}

async fn u12_no_request_is_served_without_a_signature<B: Backend>(backend: B) {
    let mut config = BrokerConfig::default();
    let (key, secret) = ("RocketMQ", "12345678-a-secret");
    config.users.push(User { access_key: key.into(), secret_key: secret.into() });
    assert!(!format!("{config:?}").contains(secret));
    let credentials = Credentials::new(key, secret);
    assert!(!format!("{credentials:?}").contains(secret));
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    broker.keep_journal(10_000);
    let halves = backend.dial(broker.address(), &SocketOptions::default()).await.unwrap();
    let (buffers, config) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(&backend, halves, buffers, &config).unwrap();
    let fields = [("topic", "Orders"), ("consumerGroup", "billing")];
    let wrong = Credentials::new(key, "another-secret");
    let stranger = Credentials::new("nobody", secret);
    // Every number that a request has or may get.
    for code in (1..400).chain([900, 901, 902, 1_004, 2_001, 2_018, 3_000, 3_001]) {
        for signed in [None, Some(wrong), Some(stranger)] {
            let answer = match signed {
                None => link.ask(code, &fields, b"{}", WITHIN).await,
                Some(credentials) => {
                    let signed = credentials.sign(fields, b"{}").unwrap();
                    link.ask(code, &signed, b"{}", WITHIN).await
                }
            };
            let answer = answer.unwrap();
            let header = answer.frame().unwrap().header;
            assert_eq!((header.code, header.flag), (16, FLAG_RESPONSE), "of request {code}");
            let remark = header.remark.map(|remark| remark.to_string()).unwrap_or_default();
            assert!(!remark.contains(secret), "{remark}");
        }
        // The body is part of it.
        let signed = credentials.sign(fields, b"{}").unwrap();
        let answer = link.ask(code, &signed, b"[]", WITHIN).await.unwrap();
        assert_eq!(answer.frame().unwrap().header.code, 16, "of request {code}");
    }
    let requests = broker.stats().counts.requests_unsigned;
    assert_eq!(requests, 4 * (399 + 8));
    let signed = credentials.sign([("topic", "TBW102")], b"").unwrap();
    let code = request_code::GET_ROUTEINFO_BY_TOPIC;
    let answer = link.ask(code, &signed, b"", WITHIN).await.unwrap();
    assert_eq!(answer.frame().unwrap().header.code, 0);
}

async fn who_can_be_reached_by_anybody_says_so<B: Backend>(backend: B) {
    let own = Authority::new("Own");
    let settings = ServerSettings::new(own.server(&["127.0.0.1"]));
    let anybody = TlsServer::new(settings.clone()).unwrap();
    let known = TlsServer::new(settings.require_client_certificate(own.pem())).unwrap();
    for (tls, is_signed, expected) in [
        (None, false, Some((false, false))),
        (None, true, Some((false, true))),
        (Some((&known, TlsMode::Permissive)), false, Some((false, false))),
        (Some((&anybody, TlsMode::Enforcing)), false, Some((true, false))),
        (Some((&anybody, TlsMode::Enforcing)), true, None),
        (Some((&known, TlsMode::Enforcing)), false, None),
    ] {
        let mut config = BrokerConfig::default();
        config.listen = ([0, 0, 0, 0], 0).into();
        config.tls = tls.map(|(server, mode)| TlsConfig::new(server.clone(), mode));
        if is_signed {
            config.users.push(User { access_key: "key".into(), secret_key: "secret".into() });
        }
        let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
        let said = broker.poll_notice().map(|notice| match notice {
            Notice::Exposed { address, is_encrypted, asks_who } => {
                assert_eq!(address, broker.address());
                (is_encrypted, asks_who)
            }
            other => panic!("{other}"),
        });
        assert_eq!(said, expected);
        // Its name server listens on the loopback interface.
        assert!(broker.poll_notice().is_none());
    }
}
