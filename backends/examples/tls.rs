//! TLS on both sides: the server proves who it is, and so does the client.
//!
//! Real programs name files, `Material::file("ca.pem")`, and call `reload` when they change.
//!
//! `cargo run -p turbopump --features tokio,smol,tls-ring --example tls`

use core::error::Error;
use core::time::Duration;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump::runtime::backend::{Backend, SocketOptions};
use turbopump::runtime::net::tls::{
    ClientSettings, Identity, Material, ServerSettings, TlsClient, TlsServer,
};
use turbopump::runtime::net::{ConnectionPool, PoolSettings};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let authority = Authority::new()?;
    let server = ServerSettings::new(authority.issue("broker.example")?)
        .require_client_certificate(authority.certificate());
    let server = TlsServer::new(server)?;
    let mut listener = backend.listen(([127, 0, 0, 1], 0).into()).await?;
    let address = B::local_address(&listener)?;
    let spawner = backend.clone();
    backend.spawn(async move {
        while let Ok((reader, writer, _)) =
            B::accept(&mut listener, &SocketOptions::default()).await
        {
            let (server, backend) = (server.clone(), spawner.clone());
            // In a task of its own: who says nothing must not hold up the others.
            spawner.spawn(async move {
                let deadline = Instant::now() + Duration::from_secs(5);
                match server.accept(&backend, (reader, writer), deadline).await {
                    Ok((mut reader, mut writer)) => {
                        let mut said = [0; 5];
                        if reader.read_exact(&mut said).await.is_ok() {
                            let _ = writer.write_all(&said).await;
                            let _ = writer.close().await;
                        }
                    }
                    Err(error) => println!("refused: {error}"),
                }
            });
        }
    });

    // The address is an IP address, so the name that the certificate must have is given.
    let client = ClientSettings::new()
        .trust(authority.certificate())
        .identity(authority.issue("client.example")?)
        .server_name("broker.example");
    let client = TlsClient::new(client)?;
    let mut settings = PoolSettings::default();
    settings.tls = Some(client);
    let pool = ConnectionPool::new(backend.clone(), address.into(), settings)?;
    let mut connection = pool.get().await?;
    connection.write(b"hello").await?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// A CA for this example.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn certificate(&self) -> Material {
        Material::bytes(self.0.pem().into_bytes())
    }

    fn issue(&self, name: &str) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.0)?;
        Ok(Identity::new(
            Material::bytes(certificate.pem().into_bytes()),
            Material::bytes(key.serialize_pem().into_bytes()),
        ))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
