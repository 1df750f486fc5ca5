//! The side that connects.

use core::fmt;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use futures_io::{AsyncRead, AsyncWrite};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::dangerous::AcceptAny;
use super::error::TlsError;
use super::halves::{TlsReader, TlsWriter};
use super::handshake::{Handshake, within};
use super::material::{Identity, Material, add_authorities};
use crate::backend::Backend;

/// Whom a client trusts and who it is.
///
/// ```
/// use turbopump_std::net::tls::{ClientSettings, Identity, Material};
///
/// let settings = ClientSettings::new()
///     .trust(Material::file("/etc/turbopump/ca.pem"))
///     .identity(Identity::new(
///         Material::file("/etc/turbopump/client.pem"),
///         Material::file("/etc/turbopump/client.key"),
///     ))
///     .server_name("broker.example");
/// # let _ = settings;
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    authorities: Vec<Material>,
    #[cfg(feature = "tls-webpki-roots")]
    webpki_roots: bool,
    identity: Option<Identity>,
    server_name: Option<Box<str>>,
    accept_any: bool,
}

impl ClientSettings {
    /// Trusts nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these CA certificates, too.
    #[must_use]
    pub fn trust(mut self, authorities: Material) -> Self {
        self.authorities.push(authorities);
        self
    }

    /// Trusts the CAs that browsers trust, too, as built into the program.
    #[cfg(feature = "tls-webpki-roots")]
    #[must_use]
    pub const fn trust_webpki_roots(mut self) -> Self {
        self.webpki_roots = true;
        self
    }

    /// Proves to servers who this is (mutual TLS).
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Verifies this name, whatever host is connected to: for routes that give IP addresses.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Accepts every server, also one that only pretends to be who was meant. Anybody on the way
    /// can read and change everything. For experiments; logged as a warning.
    #[must_use]
    pub const fn dangerous_accept_any_certificate(mut self) -> Self {
        self.accept_any = true;
        self
    }

    fn build(&self, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::configuration("provider", alloc::format!("{error}")))?;
        let builder = if self.accept_any {
            log::warn!(
                target: "turbopump::tls",
                "certificates of servers are NOT verified: anybody can read and change what is \
                 sent, because dangerous_accept_any_certificate is on"
            );
            let verifier = Arc::new(AcceptAny(Arc::clone(provider)));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let Some(identity) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let (chain, key) = identity.load()?;
        builder.with_client_auth_cert(chain, key).map_err(|error| identity.refused(&error))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        #[cfg(feature = "tls-webpki-roots")]
        if self.webpki_roots {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        add_authorities(&mut store, &self.authorities)?;
        if store.is_empty() {
            let reason = "none is trusted, so that no server could be: name the CA's certificate";
            return Err(TlsError::configuration("CA certificate", reason));
        }
        Ok(store)
    }
}

/// Connects by TLS. A cheap handle: clones share what a reload changes.
#[derive(Clone)]
pub struct TlsClient {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Arc<CryptoProvider>,
    settings: Mutex<ClientSettings>,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// A client with the cryptography of `ring`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Configuration`] with the file and what is wrong with it.
    #[cfg(feature = "tls-ring")]
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Self::with_provider(settings, super::default_provider())
    }

    /// A client with the cryptography of `provider`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Configuration`] with the file and what is wrong with it.
    pub fn with_provider(
        settings: ClientSettings,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let current = RwLock::new(Current::new(&settings, &provider)?);
        let settings = Mutex::new(settings);
        Ok(Self { inner: Arc::new(Inner { provider, settings, current }) })
    }

    /// Reads all files anew; connections from now on use what they hold. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// As [`TlsClient::with_provider`]; nothing has changed then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let settings = self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(&settings)
    }

    /// Uses other settings for connections from now on. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// As [`TlsClient::with_provider`]; nothing has changed then.
    pub fn replace(&self, settings: ClientSettings) -> Result<(), TlsError> {
        // Held throughout, so that two who change things at once leave both parts of one of them.
        let mut kept = self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(&settings)?;
        *kept = settings;
        Ok(())
    }

    fn swap(&self, settings: &ClientSettings) -> Result<(), TlsError> {
        let current = Current::new(settings, &self.inner.provider)?;
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// Secures a connection to `host`, a name or an IP address without brackets, which the server's
    /// certificate must name unless the settings name another one. Gives up at `deadline`.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the connection is closed, after the server was told why where it speaks TLS.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn connect<B: Backend>(
        &self,
        backend: &B,
        host: &str,
        connection: (B::Reader, B::Writer),
        deadline: Instant,
    ) -> Result<(TlsReader<B::Reader>, TlsWriter<B::Writer>), TlsError> {
        let started = Instant::now();
        let handshake = self.start(host, connection.0, connection.1)?;
        within(handshake, backend.sleep_until(deadline), started).await
    }

    /// Secures a connection without a limit of time; as [`TlsClient::connect`] for halves that come
    /// from no backend.
    ///
    /// # Errors
    ///
    /// As [`TlsClient::connect`].
    ///
    /// # Cancel safety
    ///
    /// As [`TlsClient::connect`].
    pub async fn connect_over<R, W>(
        &self,
        host: &str,
        reader: R,
        writer: W,
    ) -> Result<(TlsReader<R>, TlsWriter<W>), TlsError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let handshake = self.start(host, reader, writer)?;
        within(handshake, core::future::pending(), Instant::now()).await
    }

    fn start<R, W>(&self, host: &str, reader: R, writer: W) -> Result<Handshake<R, W>, TlsError> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let name = match current.server_name {
            Some(name) => name,
            None => server_name(host)?,
        };
        let connection = ClientConnection::new(current.config, name)?;
        Ok(Handshake::new(connection.into(), reader, writer))
    }
}

impl Current {
    fn new(settings: &ClientSettings, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        Ok(Self {
            config: Arc::new(settings.build(provider)?),
            server_name: settings.server_name.as_deref().map(server_name).transpose()?,
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = ServerName::try_from(host);
    name.map(|name| name.to_owned()).map_err(|_| TlsError::InvalidName { name: host.into() })
}

/// Shows where things come from, no secrets.
impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
