//! Several clusters in one process: a client is a value, and knows nothing of the others.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example clusters`

use core::error::Error;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Client, ClientConfig, Message};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let mut clusters = Vec::new();
    for name in ["here", "there"] {
        let mut config = BrokerConfig::default();
        config.broker_name = name.into();
        let broker = EmbeddedBroker::start(backend.clone(), config).await?;
        let list = broker.name_server_address().to_string();
        let client = Client::start(backend.clone(), ClientConfig::new(&list)).await?;
        clusters.push((broker, client));
    }

    // The same group and the same topic, twice.
    for (_, client) in &clusters {
        let sent = client.producer("group").send(Message::new("Orders", "x")).await?;
        println!("{} has it", sent.broker);
    }
    // The end of one is not the other's business.
    let (here, client) = clusters.remove(0);
    client.close().await;
    here.shutdown().await;
    for (there, client) in clusters {
        let sent = client.producer("group").send(Message::new("Orders", "y")).await?;
        println!("{} has another one", sent.broker);
        client.close().await;
        there.shutdown().await;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
