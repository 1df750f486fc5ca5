//! Certificates made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use turbopump_std::net::tls::{
    ClientSettings, Identity, Material, ServerSettings, TlsClient, TlsServer,
};

/// A CA of its own, with its key.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A CA with this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> Material {
        Material::bytes(self.0.pem().into_bytes())
    }

    /// The same as text.
    pub fn pem_text(&self) -> String {
        self.0.pem()
    }

    /// Its certificate, as DER.
    pub fn der(&self) -> Material {
        Material::bytes(self.0.der().to_vec())
    }

    /// A certificate and its key.
    pub fn issue(&self, names: &[&str], valid: Validity, purpose: Purpose) -> Issued {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = match valid {
            Validity::Now => (date_time_ymd(2000, 1, 1), date_time_ymd(2300, 1, 1)),
            Validity::Past => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Validity::Future => (date_time_ymd(2299, 1, 1), date_time_ymd(2300, 1, 1)),
        };
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            chain_pem: certificate.pem(),
            chain_der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    /// A server's certificate that is good now.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, Validity::Now, Purpose::Server).pem()
    }

    /// A client's.
    pub fn client(&self) -> Identity {
        self.issue(&["client.example"], Validity::Now, Purpose::Client).pem()
    }
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
pub enum Validity {
    /// Now.
    Now,
    /// In the past.
    Past,
    /// Not yet.
    Future,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// To be connected to.
    Server,
    /// To connect.
    Client,
}

/// A certificate and its key, in both forms.
pub struct Issued {
    /// The certificate, as PEM.
    pub chain_pem: String,
    /// The certificate, as DER.
    pub chain_der: Vec<u8>,
    /// The key, as PEM.
    pub key_pem: String,
    /// The key, as DER.
    pub key_der: Vec<u8>,
}

impl Issued {
    /// Who it is, from PEM.
    pub fn pem(&self) -> Identity {
        Identity::new(
            Material::bytes(self.chain_pem.clone().into_bytes()),
            Material::bytes(self.key_pem.clone().into_bytes()),
        )
    }

    /// Who it is, from DER.
    pub fn der(&self) -> Identity {
        Identity::new(
            Material::bytes(self.chain_der.clone()),
            Material::bytes(self.key_der.clone()),
        )
    }
}

/// A client with these settings.
pub fn client(settings: ClientSettings) -> TlsClient {
    TlsClient::new(settings).unwrap()
}

/// A client that trusts `authority` alone.
pub fn trusting(authority: &Authority) -> TlsClient {
    client(ClientSettings::new().trust(authority.pem()))
}

/// A server that takes any client.
pub fn server(identity: Identity) -> TlsServer {
    TlsServer::new(ServerSettings::new(identity)).unwrap()
}
