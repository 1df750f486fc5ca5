//! The side that accepts.

use core::fmt;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use futures_io::{AsyncRead, AsyncWrite};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::error::TlsError;
use super::halves::{TlsReader, TlsWriter};
use super::handshake::{Handshake, within};
use super::material::{Identity, Material, add_authorities};
use crate::backend::Backend;

/// Who a server is and whom it asks for a certificate.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    identity: Identity,
    client_authorities: Vec<Material>,
    clients_may_be_anonymous: bool,
}

impl ServerSettings {
    /// A server that takes any client.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, client_authorities: Vec::new(), clients_may_be_anonymous: false }
    }

    /// Takes only clients whose certificate comes from these CAs (mutual TLS).
    #[must_use]
    pub fn require_client_certificate(mut self, authorities: Material) -> Self {
        self.client_authorities.push(authorities);
        self
    }

    /// Takes clients without a certificate, too; those who show one are still verified.
    #[must_use]
    pub const fn allow_anonymous_clients(mut self) -> Self {
        self.clients_may_be_anonymous = true;
        self
    }

    /// Whether every client has to show a certificate.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        !(self.client_authorities.is_empty() || self.clients_may_be_anonymous)
    }

    fn build(&self, provider: &Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::configuration("provider", format!("{error}")))?
            .with_client_cert_verifier(self.client_verifier(provider)?);
        let (chain, key) = self.identity.load()?;
        builder.with_single_cert(chain, key).map_err(|error| self.identity.refused(&error))
    }

    fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        if self.client_authorities.is_empty() {
            return Ok(WebPkiClientVerifier::no_client_auth());
        }
        let mut store = RootCertStore::empty();
        add_authorities(&mut store, &self.client_authorities)?;
        let provider = Arc::clone(provider);
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        if self.clients_may_be_anonymous {
            builder = builder.allow_unauthenticated();
        }
        let invalid = |error| TlsError::configuration("clients' CA", format!("{error}"));
        builder.build().map_err(invalid)
    }
}

/// Accepts by TLS. A cheap handle: clones share what a reload changes.
#[derive(Clone)]
pub struct TlsServer {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Arc<CryptoProvider>,
    settings: Mutex<ServerSettings>,
    current: RwLock<Arc<ServerConfig>>,
}

impl TlsServer {
    /// A server with the cryptography of `ring`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Configuration`] with the file and what is wrong with it.
    #[cfg(feature = "tls-ring")]
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        Self::with_provider(settings, super::default_provider())
    }

    /// A server with the cryptography of `provider`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Configuration`] with the file and what is wrong with it.
    pub fn with_provider(
        settings: ServerSettings,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(settings.build(&provider)?));
        let settings = Mutex::new(settings);
        Ok(Self { inner: Arc::new(Inner { provider, settings, current }) })
    }

    /// Reads all files anew; connections from now on use what they hold. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// As [`TlsServer::with_provider`]; nothing has changed then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let settings = self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(&settings)
    }

    /// Uses other settings for connections from now on. Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// As [`TlsServer::with_provider`]; nothing has changed then.
    pub fn replace(&self, settings: ServerSettings) -> Result<(), TlsError> {
        // Held throughout, so that two who change things at once leave both parts of one of them.
        let mut kept = self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.swap(&settings)?;
        *kept = settings;
        Ok(())
    }

    /// Whether every client has to show a certificate, as settings are now.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        let settings = self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner);
        settings.requires_client_certificate()
    }

    fn swap(&self, settings: &ServerSettings) -> Result<(), TlsError> {
        let config = Arc::new(settings.build(&self.inner.provider)?);
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Secures a connection that a client opened. Gives up at `deadline`.
    ///
    /// Call it in the connection's own task, not in the loop that accepts: a client that says
    /// nothing would hold up all others.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the connection is closed, after the client was told why where it speaks TLS.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn accept<B: Backend>(
        &self,
        backend: &B,
        connection: (B::Reader, B::Writer),
        deadline: Instant,
    ) -> Result<(TlsReader<B::Reader>, TlsWriter<B::Writer>), TlsError> {
        let started = Instant::now();
        let handshake = self.start(connection.0, connection.1)?;
        within(handshake, backend.sleep_until(deadline), started).await
    }

    /// Secures a connection without a limit of time; as [`TlsServer::accept`] for halves that come
    /// from no backend.
    ///
    /// # Errors
    ///
    /// As [`TlsServer::accept`].
    ///
    /// # Cancel safety
    ///
    /// As [`TlsServer::accept`].
    pub async fn accept_over<R, W>(
        &self,
        reader: R,
        writer: W,
    ) -> Result<(TlsReader<R>, TlsWriter<W>), TlsError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let handshake = self.start(reader, writer)?;
        within(handshake, core::future::pending(), Instant::now()).await
    }

    fn start<R, W>(&self, reader: R, writer: W) -> Result<Handshake<R, W>, TlsError> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = ServerConnection::new(current)?;
        Ok(Handshake::new(connection.into(), reader, writer))
    }
}

/// Shows where things come from, no secrets.
impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
