//! Over loopback sockets, on every backend.
//!
//! Real time: `black_hole` waits 50 ms per backend.

use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::time::Instant;

use smol::future::zip;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::net::tls::{
    CertificateFault, ClientSettings, Identity, ServerSettings, TlsClient, TlsError, TlsReader,
    TlsServer, TlsWriter,
};
use turbopump_tests::on_every_backend;

use turbopump_tests::certificates::{Authority, Purpose, Validity, client, server, trusting};

on_every_backend![
    anonymous_clients_may_be_allowed,
    black_hole,
    bytes_arrive_both_ways_at_once,
    certificates_of_the_wrong_time_name_or_purpose_are_refused,
    clients_prove_who_they_are,
    clients_without_a_good_certificate_are_refused,
    each_side_notices_plain_text,
    one_direction_ends_before_the_other,
    other_authorities_are_refused,
    peers_that_close_early_are_noticed,
    reloads_change_new_connections_alone,
    the_opt_out_accepts_anything,
    the_right_authority_passes,
];

pub(crate) type Halves<B> = (TlsReader<<B as Backend>::Reader>, TlsWriter<<B as Backend>::Writer>);
type Plain<B> = (<B as Backend>::Reader, <B as Backend>::Writer);

async fn connection<B: Backend>(backend: &B) -> (Plain<B>, Plain<B>) {
    let options = SocketOptions::default();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = backend.listen(at).await.unwrap();
    let to = B::local_address(&listener).unwrap();
    let (near, far) = zip(backend.dial(to, &options), B::accept(&mut listener, &options)).await;
    let (reader, writer, _) = far.unwrap();
    (near.unwrap(), (reader, writer))
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn handshakes<B: Backend>(
    backend: &B,
    client: &TlsClient,
    host: &str,
    server: &TlsServer,
) -> (Result<Halves<B>, TlsError>, Result<Halves<B>, TlsError>) {
    let (near, far) = connection(backend).await;
    let near = client.connect(backend, host, near, soon());
    let far = server.accept(backend, far, soon());
    assert_send(zip(near, far)).await
}

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

pub(crate) async fn secured<B: Backend>(
    backend: &B,
    client: &TlsClient,
    host: &str,
    server: &TlsServer,
) -> (Halves<B>, Halves<B>) {
    let (near, far) = handshakes(backend, client, host, server).await;
    (near.unwrap(), far.unwrap())
}

/// What the client, then what the server says of each other.
async fn faults<B: Backend>(
    backend: &B,
    client: &TlsClient,
    host: &str,
    server: &TlsServer,
) -> (TlsError, TlsError) {
    let (near, far) = handshakes(backend, client, host, server).await;
    (near.map(drop).unwrap_err(), far.map(drop).unwrap_err())
}

fn fault(error: TlsError) -> CertificateFault {
    match error {
        TlsError::Certificate(fault) => fault,
        error => panic!("not about a certificate: {error}"),
    }
}

async fn says_hello<B: Backend>((near, far): (Halves<B>, Halves<B>)) {
    let ((_, mut writer), (mut reader, _)) = (near, far);
    writer.write_all(b"hello").await.unwrap();
    writer.flush().await.unwrap();
    let mut said = [0; 5];
    reader.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
}

async fn the_right_authority_passes<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let issued = authority.issue(&["broker.example", "127.0.0.1"], Validity::Now, Purpose::Server);
    let by_name = trusting(&authority);
    let by_der = client(ClientSettings::new().trust(authority.der()));
    let settings = ClientSettings::new().trust(authority.pem()).server_name("broker.example");
    let explicit = client(settings);
    for server in [server(issued.pem()), server(issued.der())] {
        says_hello::<B>(secured(&backend, &by_name, "broker.example", &server).await).await;
        says_hello::<B>(secured(&backend, &by_name, "127.0.0.1", &server).await).await;
        says_hello::<B>(secured(&backend, &by_der, "127.0.0.1", &server).await).await;
        // Routes give addresses that no certificate names.
        says_hello::<B>(secured(&backend, &explicit, "10.0.0.1", &server).await).await;
    }
}

async fn other_authorities_are_refused<B: Backend>(backend: B) {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = server(theirs.server(&["broker.example"]));
    let (near, far) = faults(&backend, &trusting(&ours), "broker.example", &server).await;
    assert_eq!(fault(near), CertificateFault::UnknownIssuer);
    assert!(matches!(far, TlsError::PeerRefused { alert } if &*alert == "UnknownCA"));

    let public = client(ClientSettings::new().trust_webpki_roots());
    let (near, _) = faults(&backend, &public, "broker.example", &server).await;
    assert_eq!(fault(near), CertificateFault::UnknownIssuer);

    // Somebody who only calls himself as the right one.
    let pretender = Authority::new("ours");
    let server = turbopump_tests::certificates::server(pretender.server(&["broker.example"]));
    let (near, _) = faults(&backend, &trusting(&ours), "broker.example", &server).await;
    let near = fault(near);
    assert!(
        matches!(near, CertificateFault::UnknownIssuer | CertificateFault::BadSignature),
        "{near:?}"
    );
}

async fn certificates_of_the_wrong_time_name_or_purpose_are_refused<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let cases = [
        (Validity::Past, Purpose::Server, CertificateFault::Expired),
        (Validity::Future, Purpose::Server, CertificateFault::NotYetValid),
        (Validity::Now, Purpose::Client, CertificateFault::WrongPurpose),
    ];
    for (validity, purpose, expected) in cases {
        let server = server(authority.issue(&["broker.example"], validity, purpose).pem());
        let (near, far) = faults(&backend, &client, "broker.example", &server).await;
        assert_eq!(fault(near), expected);
        assert!(matches!(far, TlsError::PeerRefused { .. }), "{far}");
    }

    let server = server(authority.server(&["broker.example"]));
    for host in ["other.example", "127.0.0.1"] {
        let (near, _) = faults(&backend, &client, host, &server).await;
        assert!(
            near.to_string().contains("broker.example") && near.to_string().contains(host),
            "{near}"
        );
        assert!(matches!(fault(near), CertificateFault::WrongName { .. }));
    }
    let (near, _) = connection(&backend).await;
    let result = client.connect(&backend, "not a name", near, soon()).await;
    assert!(matches!(result.map(drop), Err(TlsError::InvalidName { .. })));
}

fn asking(authority: &Authority, clients: &Authority) -> ServerSettings {
    let settings = ServerSettings::new(authority.server(&["broker.example"]));
    settings.require_client_certificate(clients.pem())
}

fn showing(authority: &Authority, identity: Identity) -> TlsClient {
    client(ClientSettings::new().trust(authority.pem()).identity(identity))
}

async fn clients_prove_who_they_are<B: Backend>(backend: B) {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let issued = clients.issue(&["client.example"], Validity::Now, Purpose::Client);
    let client = showing(&ours, issued.pem());
    let server = TlsServer::new(asking(&ours, &clients)).unwrap();
    let (near, far) = secured(&backend, &client, "broker.example", &server).await;
    assert_eq!(far.0.peer_certificate(), Some(issued.chain_der));
    assert_eq!(near.0.protocol(), "TLSv1.3");
    says_hello::<B>((near, far)).await;
}

async fn clients_without_a_good_certificate_are_refused<B: Backend>(backend: B) {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = TlsServer::new(asking(&ours, &clients)).unwrap();
    let old = clients.issue(&["client.example"], Validity::Past, Purpose::Client).pem();
    let cases = [
        (trusting(&ours), CertificateFault::Missing, "CertificateRequired"),
        (showing(&ours, ours.client()), CertificateFault::UnknownIssuer, "UnknownCA"),
        (showing(&ours, old), CertificateFault::Expired, "CertificateExpired"),
    ];
    for (client, expected, expected_alert) in cases {
        let (near, far) = handshakes(&backend, &client, "broker.example", &server).await;
        assert_eq!(fault(far.map(drop).unwrap_err()), expected);
        // TLS 1.3: the client has finished before the server looks at its certificate.
        let error = near.unwrap().0.read(&mut [0; 16]).await.unwrap_err();
        let Some(TlsError::PeerRefused { alert }) = TlsError::of(&error) else {
            panic!("{error}");
        };
        assert_eq!((&**alert, error.kind()), (expected_alert, io::ErrorKind::ConnectionRefused));
    }
}

async fn anonymous_clients_may_be_allowed<B: Backend>(backend: B) {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = TlsServer::new(asking(&ours, &clients).allow_anonymous_clients()).unwrap();
    let (near, far) = secured(&backend, &trusting(&ours), "broker.example", &server).await;
    assert_eq!(far.0.peer_certificate(), None);
    says_hello::<B>((near, far)).await;
    let stranger = showing(&ours, ours.client());
    let (_, far) = handshakes(&backend, &stranger, "broker.example", &server).await;
    assert_eq!(fault(far.map(drop).unwrap_err()), CertificateFault::UnknownIssuer);
}

async fn the_opt_out_accepts_anything<B: Backend>(backend: B) {
    let authority = Authority::new("nobody knows");
    let issued = authority.issue(&["other.example"], Validity::Past, Purpose::Server);
    let careless = client(ClientSettings::new().dangerous_accept_any_certificate());
    let server = server(issued.pem());
    says_hello::<B>(secured(&backend, &careless, "broker.example", &server).await).await;
}

async fn reloads_change_new_connections_alone<B: Backend>(backend: B) {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (client, server) = (trusting(&first), server(first.server(&["broker.example"])));
    let old = secured(&backend, &client, "broker.example", &server).await;

    server.replace(ServerSettings::new(second.server(&["broker.example"]))).unwrap();
    let (near, _) = faults(&backend, &client, "broker.example", &server).await;
    assert_eq!(fault(near), CertificateFault::UnknownIssuer);

    client.clone().replace(ClientSettings::new().trust(second.pem())).unwrap();
    says_hello::<B>(secured(&backend, &client, "broker.example", &server).await).await;

    // What can't be used leaves everything as it is.
    assert!(client.replace(ClientSettings::new()).is_err());
    client.reload().unwrap();
    says_hello::<B>(secured(&backend, &client, "broker.example", &server).await).await;
    says_hello::<B>(old).await;
}

async fn bytes_arrive_both_ways_at_once<B: Backend>(backend: B) {
    const BYTES: usize = 4 << 20;
    let authority = Authority::new("ours");
    let server = server(authority.server(&["broker.example"]));
    let (near, far) = secured(&backend, &trusting(&authority), "broker.example", &server).await;
    let pattern = |seed: usize| (0..BYTES).map(move |at| (at * seed / 7) as u8).collect::<Vec<_>>();
    let (up, down) = (pattern(3), pattern(5));
    let send = async |mut writer: TlsWriter<B::Writer>, bytes: &[u8]| {
        // Odd pieces, so that records and writes don't fall together.
        for piece in bytes.chunks(50_001) {
            writer.write_all(piece).await.unwrap();
        }
        writer.close().await.unwrap();
    };
    let receive = async |mut reader: TlsReader<B::Reader>, bytes: &[u8]| {
        let mut received = Vec::with_capacity(BYTES);
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
    };
    let near = zip(send(near.1, &up), receive(near.0, &down));
    let far = zip(send(far.1, &down), receive(far.0, &up));
    zip(near, far).await;
}

async fn one_direction_ends_before_the_other<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let server = server(authority.server(&["broker.example"]));
    let (near, far) = secured(&backend, &trusting(&authority), "broker.example", &server).await;
    let ((mut near_reader, mut near_writer), (mut far_reader, mut far_writer)) = (near, far);
    near_writer.close().await.unwrap();
    assert_eq!(far_reader.read(&mut [0; 16]).await.unwrap(), 0);
    assert_eq!(far_reader.read(&mut [0; 16]).await.unwrap(), 0);
    let error = near_writer.write(b"late").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);

    far_writer.write_all(b"still here").await.unwrap();
    far_writer.close().await.unwrap();
    let mut said = Vec::new();
    near_reader.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"still here");
}

async fn each_side_notices_plain_text<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let server = server(authority.server(&["broker.example"]));
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 ready\r\n", "\0\0\0\x10RocketMQ"] {
        let (near, mut far) = connection(&backend).await;
        far.1.write_all(text.as_bytes()).await.unwrap();
        let result = client.connect(&backend, "broker.example", near, soon()).await;
        assert!(matches!(result.map(drop), Err(TlsError::NotTls)), "{text}");

        let (mut near, far) = connection(&backend).await;
        near.1.write_all(text.as_bytes()).await.unwrap();
        let result = server.accept(&backend, far, soon()).await;
        assert!(matches!(result.map(drop), Err(TlsError::NotTls)), "{text}");
    }
}

async fn black_hole<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let server = server(authority.server(&["broker.example"]));
    let limit = Duration::from_millis(25);
    for accepts in [false, true] {
        let (near, far) = connection(&backend).await;
        let started = Instant::now();
        let result = if accepts {
            server.accept(&backend, far, started + limit).await
        } else {
            client.connect(&backend, "broker.example", near, started + limit).await
        };
        let Err(TlsError::HandshakeTimedOut { after }) = result.map(drop) else {
            panic!("ended otherwise");
        };
        // It counts from when the handshake began, a moment after this test has.
        let elapsed = started.elapsed();
        assert!(elapsed >= limit && after <= elapsed && after > limit / 2, "{after:?}");
        assert_eq!(io::Error::from(TlsError::HandshakeTimedOut { after }).kind(), {
            io::ErrorKind::TimedOut
        });
    }
}

async fn peers_that_close_early_are_noticed<B: Backend>(backend: B) {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let server = server(authority.server(&["broker.example"]));
    let (near, mut far) = connection(&backend).await;
    far.1.close().await.unwrap();
    let result = client.connect(&backend, "broker.example", near, soon()).await;
    assert!(matches!(result.map(drop), Err(TlsError::PeerClosed)));

    let ((mut reader, _writer), far) = secured(&backend, &client, "broker.example", &server).await;
    drop(far);
    let error = reader.read(&mut [0; 16]).await.unwrap_err();
    assert!(matches!(TlsError::of(&error), Some(TlsError::Truncated)), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
