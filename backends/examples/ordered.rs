//! Messages of one key stay in order, and keys don't wait for each other.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example ordered`

use core::error::Error;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Client, ClientConfig, Message, TopicConfig};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await?;
    let list = broker.name_server_address().to_string();
    let client = Client::start(backend, ClientConfig::new(&list)).await?;

    // Its queues stay the same while a broker is away, and with them the queue of each key.
    let mut topic = TopicConfig::new("Orders");
    topic.order = true;
    client.admin().create_topic(&topic).await?;

    let producer = client.producer("group");
    for step in ["created", "paid", "shipped"] {
        for order in ["order-1", "order-2", "order-3"] {
            let sent = producer.send_ordered(Message::new("Orders", step), order).await?;
            println!("{order} {step}: queue {}, offset {}", sent.queue, sent.offset);
        }
    }

    client.close().await;
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
