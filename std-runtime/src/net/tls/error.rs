//! What can go wrong with TLS, by who is to blame.

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use rustls::{CertificateError, Error, InvalidMessage};

/// Why a connection is not, or no longer, secure.
///
/// Errors of the halves are [`io::Error`]s that hold one of these; [`TlsError::of`] finds it.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate is not good enough; nothing was sent to it.
    Certificate(CertificateFault),
    /// The peer refuses this side and says so: it wants a certificate, or does not trust the one it
    /// got, or finds no common ground.
    ///
    /// With TLS 1.3 a server may refuse a client's certificate after the client's handshake has
    /// ended; then reading gives this.
    PeerRefused {
        /// The alert, as the standard calls it.
        alert: Box<str>,
    },
    /// What came is not TLS: the peer, or the port, speaks something else.
    NotTls,
    /// The peer breaks the rules of TLS, or bytes were changed on their way.
    Protocol {
        /// What it did.
        reason: Box<str>,
    },
    /// The peer did not finish the handshake in time.
    HandshakeTimedOut {
        /// How long it had.
        after: Duration,
    },
    /// The peer closed the connection within the handshake.
    PeerClosed,
    /// The connection ended without the peer's notice that nothing follows: bytes may be missing.
    Truncated,
    /// The transport failed.
    Transport(io::Error),
    /// The name to verify is neither a DNS name nor an IP address.
    InvalidName {
        /// The name.
        name: Box<str>,
    },
    /// The settings can't be used.
    Configuration {
        /// What of them.
        part: &'static str,
        /// The file that it comes from, if it does.
        file: Option<PathBuf>,
        /// What is wrong and what to do.
        reason: Box<str>,
    },
}

/// What is wrong with a peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It was valid in the past.
    Expired,
    /// It will be valid in the future, or this machine's clock is wrong.
    NotYetValid,
    /// It comes from none of the CAs that are trusted here.
    UnknownIssuer,
    /// It belongs to somebody else.
    WrongName {
        /// Who was meant.
        expected: Box<str>,
        /// Whom it names.
        presented: Box<str>,
    },
    /// Its issuer called it back.
    Revoked,
    /// The peer sent none.
    Missing,
    /// It, or the handshake, is not signed by who it says.
    BadSignature,
    /// It is not for this use, such as a client's certificate at a server.
    WrongPurpose,
    /// Something else.
    Other {
        /// What the verifier says.
        reason: Box<str>,
    },
}

impl TlsError {
    /// The TLS error within an error of a [`TlsReader`](super::TlsReader) or
    /// [`TlsWriter`](super::TlsWriter), `None` where the transport itself failed.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(super) fn configuration(part: &'static str, reason: impl Into<Box<str>>) -> Self {
        Self::Configuration { part, file: None, reason: reason.into() }
    }

    pub(super) fn in_file(part: &'static str, file: Option<&Path>, reason: String) -> Self {
        Self::Configuration { part, file: file.map(Path::to_path_buf), reason: reason.into() }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::Certificate(error.into()),
            Error::NoCertificatesPresented => Self::Certificate(CertificateFault::Missing),
            Error::AlertReceived(alert) => {
                Self::PeerRefused { alert: format!("{alert:?}").into_boxed_str() }
            }
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            error => Self::Protocol { reason: error.to_string().into_boxed_str() },
        }
    }
}

impl From<CertificateError> for CertificateFault {
    fn from(error: CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::NotValidForNameContext { expected, presented } => Self::WrongName {
                expected: expected.to_str().into(),
                presented: presented.join(", ").into_boxed_str(),
            },
            E::Revoked => Self::Revoked,
            E::BadSignature => Self::BadSignature,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongPurpose,
            error => Self::Other { reason: error.to_string().into_boxed_str() },
        }
    }
}

/// The kind tells those who know nothing of TLS whether to try again.
impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match error {
            TlsError::Transport(error) => return error,
            TlsError::HandshakeTimedOut { .. } => io::ErrorKind::TimedOut,
            TlsError::PeerClosed | TlsError::Truncated => io::ErrorKind::UnexpectedEof,
            TlsError::InvalidName { .. } | TlsError::Configuration { .. } => {
                io::ErrorKind::InvalidInput
            }
            TlsError::PeerRefused { .. } => io::ErrorKind::ConnectionRefused,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Errors of the halves are unwrapped, all others are the transport's.
impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Transport)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(fault) => write!(f, "the peer's certificate {fault}"),
            Self::PeerRefused { alert } => write!(f, "the peer refused this side: {alert}"),
            Self::NotTls => {
                f.write_str("the peer does not speak TLS; is TLS on there, is it the right port?")
            }
            Self::Protocol { reason } => write!(f, "the peer breaks TLS: {reason}"),
            Self::HandshakeTimedOut { after } => {
                write!(f, "the peer did not finish the TLS handshake within {after:?}")
            }
            Self::PeerClosed => f.write_str("the peer closed the connection within the handshake"),
            Self::Truncated => {
                f.write_str("the connection ended without notice, so that bytes may be missing")
            }
            Self::Transport(error) => write!(f, "the connection under TLS failed: {error}"),
            Self::InvalidName { name } => {
                write!(f, "{name:?} can't be verified: give a DNS name or an IP address")
            }
            Self::Configuration { part, file: None, reason } => write!(f, "TLS {part}: {reason}"),
            Self::Configuration { part, file: Some(file), reason } => {
                write!(f, "TLS {part} in {}: {reason}", file.display())
            }
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("has expired"),
            Self::NotYetValid => f.write_str("is not valid yet; is the clock right?"),
            Self::UnknownIssuer => f.write_str("comes from a CA that is not trusted here"),
            Self::WrongName { expected, presented } => {
                write!(f, "is for {presented}, not for {expected}")
            }
            Self::Revoked => f.write_str("was revoked"),
            Self::Missing => f.write_str("is missing"),
            Self::BadSignature => f.write_str("is not signed by whom it says"),
            Self::WrongPurpose => f.write_str("is for another purpose"),
            Self::Other { reason } => write!(f, "is not accepted: {reason}"),
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Certificate(fault) => Some(fault),
            Self::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl core::error::Error for CertificateFault {}
