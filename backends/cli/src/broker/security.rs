//! Who may come in: TLS, users, and what is said where anybody may.

use core::error::Error;
use core::net::SocketAddr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use turbopump::runtime::broker::{TlsConfig, TlsMode, User};
use turbopump::runtime::net::tls::{Identity, Material, ServerSettings, TlsServer};

#[derive(Clone, Debug, Args)]
pub(crate) struct TlsArguments {
    /// Who has to use TLS: nobody can (`off`), whoever wants to (`permissive`), or all
    /// (`enforcing`).
    #[arg(long, value_enum, value_name = "WHO", default_value_t = Tls::Off)]
    #[arg(requires_ifs = [
        ("permissive", "tls_certificate"),
        ("enforcing", "tls_certificate"),
    ])]
    pub(crate) tls: Tls,
    /// Its certificate, with those between it and its CA behind it: PEM or DER.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's private key: PEM or DER.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Lets in by TLS only clients whose certificate comes from the CA in this file.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    Off,
    Permissive,
    Enforcing,
}

impl TlsArguments {
    pub(crate) fn config(&self) -> Result<Option<TlsConfig>, Box<dyn Error>> {
        let mode = match self.tls {
            Tls::Off => return Ok(None),
            Tls::Permissive => TlsMode::Permissive,
            Tls::Enforcing => TlsMode::Enforcing,
        };
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Err("TLS needs a certificate and its key: --tls-certificate, --tls-key".into());
        };
        let identity = Identity::new(Material::file(certificate), Material::file(key));
        let mut settings = ServerSettings::new(identity);
        if let Some(authority) = &self.tls_client_ca {
            settings = settings.require_client_certificate(Material::file(authority));
        }
        Ok(Some(TlsConfig::new(TlsServer::new(settings)?, mode)))
    }

    /// Says what others can do where a name server can be reached from elsewhere.
    pub(crate) fn warn(&self, address: SocketAddr) {
        let is_enforced = self.tls == Tls::Enforcing;
        let reason = match (is_enforced, is_enforced && self.tls_client_ca.is_some()) {
            _ if address.ip().is_loopback() => return,
            (true, true) => return,
            (true, false) => "anybody may do anything (--tls-client-ca)",
            (false, _) => {
                "not all connections are encrypted, and anybody may do anything \
                           (--tls enforcing, --tls-client-ca)"
            }
        };
        eprintln!("turbopump: WARNING: {address} can be reached from other machines: {reason}");
    }
}

/// The users of a file. Errors name the line, and nothing of what is in it.
pub(crate) fn users(file: &Path) -> Result<Vec<User>, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts =
            line.split_once(':').filter(|(key, secret)| !key.is_empty() && !secret.is_empty());
        let Some((access_key, secret_key)) = parts else {
            let place = format!("{}, line {}", file.display(), number + 1);
            return Err(format!("{place}: write ACCESS_KEY:SECRET_KEY").into());
        };
        users.push(User { access_key: access_key.into(), secret_key: secret_key.into() });
    }
    if users.is_empty() {
        return Err(format!("{}: has no users; nobody could come in", file.display()).into());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<User>, String> {
        let name = format!("turbopump-users-{}-{:x}", std::process::id(), text.len());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text).unwrap();
        let users = users(&file).map_err(|error| error.to_string());
        fs::remove_file(&file).unwrap();
        users
    }

    #[test]
    fn users_are_read_and_no_secret_is_told() {
        let users = read("# who\n\nsomebody:with:colons\n other:secret \n").unwrap();
        assert_eq!(
            (users[0].access_key.as_str(), users[0].secret_key.as_str()),
            ("somebody", "with:colons")
        );
        assert_eq!(
            (users[1].access_key.as_str(), users[1].secret_key.as_str()),
            ("other", "secret")
        );
        let error = read("somebody:one\nsecret-without-a-name\n").unwrap_err();
        assert!(error.ends_with(", line 2: write ACCESS_KEY:SECRET_KEY"), "{error}");
        assert!(read("# nobody\n").unwrap_err().contains("nobody could come in"));
    }
}
