//! Certificates made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use turbopump_std::net::tls::{
    ClientSettings, Identity, Material, ServerSettings, TlsClient, TlsServer,
};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Material {
        Material::bytes(self.0.pem().into_bytes())
    }

    pub(crate) fn pem_text(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> Material {
        Material::bytes(self.0.der().to_vec())
    }

    pub(crate) fn issue(&self, names: &[&str], valid: Validity, purpose: Purpose) -> Issued {
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

    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, Validity::Now, Purpose::Server).pem()
    }

    pub(crate) fn client(&self) -> Identity {
        self.issue(&["client.example"], Validity::Now, Purpose::Client).pem()
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Now,
    Past,
    Future,
}

#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Server,
    Client,
}

pub(crate) struct Issued {
    pub(crate) chain_pem: String,
    pub(crate) chain_der: Vec<u8>,
    pub(crate) key_pem: String,
    pub(crate) key_der: Vec<u8>,
}

impl Issued {
    pub(crate) fn pem(&self) -> Identity {
        Identity::new(
            Material::bytes(self.chain_pem.clone().into_bytes()),
            Material::bytes(self.key_pem.clone().into_bytes()),
        )
    }

    pub(crate) fn der(&self) -> Identity {
        Identity::new(
            Material::bytes(self.chain_der.clone()),
            Material::bytes(self.key_der.clone()),
        )
    }
}

pub(crate) fn client(settings: ClientSettings) -> TlsClient {
    TlsClient::new(settings).unwrap()
}

/// A client that trusts `authority` alone.
pub(crate) fn trusting(authority: &Authority) -> TlsClient {
    client(ClientSettings::new().trust(authority.pem()))
}

pub(crate) fn server(identity: Identity) -> TlsServer {
    TlsServer::new(ServerSettings::new(identity)).unwrap()
}
