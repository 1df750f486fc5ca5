//! Certificates and keys: where they come from.

use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use alloc::borrow::Cow;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;

/// A certificate, several, or a key, as PEM or DER: which of these is seen from its bytes.
///
/// A file is read anew with every reload.
#[derive(Clone)]
pub struct Material(Kind);

#[derive(Clone)]
enum Kind {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl Material {
    /// What is in a file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// What is in memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }

    fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::File(path) => Some(path),
            Kind::Bytes(_) => None,
        }
    }

    fn read(&self, part: &'static str) -> Result<Cow<'_, [u8]>, TlsError> {
        match &self.0 {
            Kind::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Kind::File(path) => match fs::read(path) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(error) => Err(TlsError::in_file(part, Some(path), format!("{error}"))),
            },
        }
    }

    /// At least one certificate.
    fn certificates(&self, part: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.read(part)?;
        let invalid = |reason| TlsError::in_file(part, self.path(), reason);
        if !is_pem(&bytes) {
            if bytes.is_empty() {
                return Err(invalid("is empty".into()));
            }
            return Ok(alloc::vec![CertificateDer::from(bytes.into_owned())]);
        }
        let certificates = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(format!("is not PEM: {error}")))?;
        if certificates.is_empty() {
            return Err(invalid("has no section BEGIN CERTIFICATE".into()));
        }
        Ok(certificates)
    }

    fn key(&self, part: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.read(part)?;
        // The reasons must not quote what may be a secret.
        let invalid = |reason: &str| TlsError::in_file(part, self.path(), reason.into());
        if !is_pem(&bytes) {
            return PrivateKeyDer::try_from(bytes.into_owned())
                .map_err(|_| invalid("is neither PEM nor a DER key of PKCS#8, PKCS#1 or SEC1"));
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
            invalid("has no readable section BEGIN PRIVATE KEY; encrypted keys are not supported")
        })
    }
}

/// DER starts with the byte of a sequence, which is no part of a text.
fn is_pem(bytes: &[u8]) -> bool {
    const DER_SEQUENCE: u8 = 0x30;
    bytes.first() != Some(&DER_SEQUENCE) && bytes.windows(10).any(|window| window == b"-----BEGIN")
}

/// Names the source alone: the bytes may be a secret.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => f.debug_tuple("File").field(path).finish(),
            Kind::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// Who this side is: a certificate, with those between it and its CA behind it, and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    chain: Material,
    key: Material,
}

impl Identity {
    /// The owner of `key`.
    #[must_use]
    pub const fn new(chain: Material, key: Material) -> Self {
        Self { chain, key }
    }

    pub(super) fn load(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        Ok((self.chain.certificates("certificate")?, self.key.key("private key")?))
    }

    /// An error for a certificate and key that don't go together.
    pub(super) fn refused(&self, error: &rustls::Error) -> TlsError {
        let reason = format!("can't be used with its certificate: {error}");
        TlsError::in_file("private key", self.key.path(), reason)
    }
}

/// Adds `sources` to `store`.
pub(super) fn add_authorities(
    store: &mut RootCertStore,
    sources: &[Material],
) -> Result<(), TlsError> {
    const PART: &str = "CA certificate";
    for source in sources {
        for certificate in source.certificates(PART)? {
            let added = store.add(certificate);
            added.map_err(|error| TlsError::in_file(PART, source.path(), format!("{error}")))?;
        }
    }
    Ok(())
}
