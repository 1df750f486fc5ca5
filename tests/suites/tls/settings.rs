//! Files, errors about them, and what is shown.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use smol::future::{block_on, zip};
use turbopump_std::net::tls::{
    CertificateFault, ClientSettings, Identity, Material, ServerSettings, TlsClient, TlsError,
    TlsServer,
};

use crate::pipe::{SMOOTH, connection};
use turbopump_tests::certificates::{Authority, Purpose, Validity, client};

/// A folder of its own for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "turbopump-tls-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn handshake(client: &TlsClient, server: &TlsServer) -> Result<(), TlsError> {
    let (near, far) = connection(SMOOTH);
    let near = client.connect_over("broker.example", near.0, near.1);
    zip(near, server.accept_over(far.0, far.1)).await.0.map(drop)
}

#[test]
fn files_are_read_anew_by_a_reload() {
    let folder = Folder::new();
    let write_server = |authority: &Authority| {
        let issued = authority.issue(&["broker.example"], Validity::Now, Purpose::Server);
        let chain = folder.write("server.pem", &issued.chain_pem);
        let key = folder.write("server.key", &issued.key_pem);
        Identity::new(Material::file(chain), Material::file(key))
    };
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let server = TlsServer::new(ServerSettings::new(write_server(&first))).unwrap();
    let ca = Material::file(folder.write("ca.pem", first.pem_text()));
    let client = client(ClientSettings::new().trust(ca));
    block_on(async {
        handshake(&client, &server).await.unwrap();

        // A half-written file must not take the server down.
        folder.write("server.key", "-----BEGIN PRIVATE KEY-----\nMIGH");
        assert!(matches!(server.reload(), Err(TlsError::Configuration { .. })));
        handshake(&client, &server).await.unwrap();

        write_server(&second);
        server.reload().unwrap();
        assert!(matches!(
            handshake(&client, &server).await,
            Err(TlsError::Certificate(CertificateFault::UnknownIssuer))
        ));
        folder.write("ca.pem", first.pem_text() + &second.pem_text());
        client.reload().unwrap();
        handshake(&client, &server).await.unwrap();
    });
}

fn is_about(error: &TlsError, file: &Path, words: &str) -> bool {
    let TlsError::Configuration { file: Some(named), .. } = error else {
        return false;
    };
    let shown = error.to_string();
    named == file && shown.contains(words) && shown.contains(file.to_str().unwrap())
}

#[test]
fn errors_name_the_file_and_what_is_wrong_with_it() {
    let folder = Folder::new();
    let missing = folder.0.join("missing.pem");
    let empty = folder.write("empty.pem", "");
    let text = folder.write("text.pem", "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n");
    let junk = folder.write("junk.der", [0x30, 1, 2, 3]);
    let cases = [
        (&missing, "No such file"),
        (&empty, "is empty"),
        (&text, "has no section BEGIN CERTIFICATE"),
        (&junk, "CA certificate"),
    ];
    for (file, words) in cases {
        let settings = ClientSettings::new().trust(Material::file(file));
        let error = TlsClient::new(settings).unwrap_err();
        assert!(is_about(&error, file, words), "{error}");
    }

    let authority = Authority::new("ours");
    let issued = authority.issue(&["a.example"], Validity::Now, Purpose::Server);
    let other = authority.issue(&["b.example"], Validity::Now, Purpose::Server);
    let chain = folder.write("chain.pem", &issued.chain_pem);
    let other_key = folder.write("other.key", &other.key_pem);
    for (key, words) in [
        (&missing, "No such file"),
        (&chain, "has no readable section BEGIN PRIVATE KEY"),
        (&junk, "neither PEM nor a DER key"),
        (&other_key, "can't be used with its certificate"),
    ] {
        let identity = Identity::new(Material::file(&chain), Material::file(key));
        let error = TlsServer::new(ServerSettings::new(identity)).unwrap_err();
        assert!(is_about(&error, key, words), "{error}");
    }
    let error = TlsClient::new(ClientSettings::new()).unwrap_err();
    assert!(error.to_string().contains("name the CA's certificate"), "{error}");
    let settings = ClientSettings::new().trust(authority.pem()).server_name("a b");
    assert!(matches!(TlsClient::new(settings), Err(TlsError::InvalidName { .. })));
}

#[test]
fn nothing_shows_a_key() {
    let authority = Authority::new("ours");
    let issued = authority.issue(&["a.example"], Validity::Now, Purpose::Server);
    let settings = ServerSettings::new(issued.pem());
    let client_settings = ClientSettings::new().trust(authority.pem()).identity(issued.der());
    let shown = [
        format!("{settings:?}"),
        format!("{:?}", TlsServer::new(settings).unwrap()),
        format!("{client_settings:?}"),
        format!("{:?}", client(client_settings)),
    ];
    let line = issued.key_pem.lines().nth(1).unwrap();
    let bytes = format!("{:?}", &issued.key_der[..8]);
    let bytes = bytes.trim_matches(['[', ']']);
    for shown in shown {
        assert!(!shown.contains(line) && !shown.contains(bytes), "{shown}");
        assert!(shown.contains("bytes)"), "says at least where the key is: {shown}");
    }
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() == log::Level::Warn && record.target() == "turbopump::tls" {
            let thread = std::thread::current().id();
            WARNINGS.lock().unwrap().push(format!("{thread:?} {}", record.args()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn the_opt_out_is_logged_as_a_warning() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    // Other tests of this program opt out, too.
    let here = format!("{:?} ", std::thread::current().id());
    let warnings = || {
        let warnings = WARNINGS.lock().unwrap();
        warnings.iter().filter(|warning| warning.starts_with(&here)).cloned().collect::<Vec<_>>()
    };
    client(ClientSettings::new().trust(Authority::new("ours").pem()));
    assert_eq!(warnings(), Vec::<String>::new());
    let client = client(ClientSettings::new().dangerous_accept_any_certificate());
    assert!(warnings()[0].contains("NOT verified"), "{:?}", warnings());
    client.reload().unwrap();
    assert_eq!(warnings().len(), 2);
}
