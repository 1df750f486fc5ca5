//! The first message, on either runtime, to a broker within this process.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example hello`

use core::error::Error;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Client, Message};

async fn hello<B: Backend + Default>(backend: B) -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend, BrokerConfig::default()).await?;
    let name_server = broker.name_server_address().to_string();

    // `turbopump::tokio::Client`, or `turbopump::smol::Client`.
    let client = Client::<B>::connect(&name_server).await?;
    let producer = client.producer("group");
    let sent = producer.send(Message::new("topic", "hi").tag("greeting")).await?;
    println!("{} is at offset {} of queue {}", sent.message_id, sent.offset, sent.queue);

    client.close().await;
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { hello(turbopump::tokio::Backend::new()).await })?;
    smol::block_on(hello(turbopump::smol::Backend::new()))
}
