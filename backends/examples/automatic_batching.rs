//! Many tasks send one message each; the producer puts them together, and each learns where its
//! own is.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example automatic_batching`

use core::error::Error;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Batching, Client, ClientConfig, Message, ProducerConfig};

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await?;
    let list = broker.name_server_address().to_string();
    let client = Client::start(backend, ClientConfig::new(&list)).await?;

    let mut config = ProducerConfig::default();
    config.batching = Some(Batching { messages_max: 100, ..Batching::default() });
    let producer = client.producer_with("group", config)?;

    let mut waiting = Vec::new();
    for number in 0..10_000 {
        let message = Message::new("Orders", format!("order {number}"));
        // Ready once there is room for it: nothing piles up.
        waiting.push(producer.submit(message).await?);
    }
    let mut last = None;
    for acknowledgement in waiting {
        last = Some(acknowledgement.await?);
    }
    if let Some(sent) = last {
        println!("the last one is at offset {} of queue {}", sent.offset, sent.queue);
    }
    for lane in producer.batch_stats() {
        println!(
            "{} batches, {} messages",
            lane.counters.batches.get(),
            lane.counters.succeeded.get()
        );
    }

    let report = client.shutdown(core::time::Duration::from_secs(5)).await;
    println!("{report:?}");
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
