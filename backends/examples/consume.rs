//! Messages that are sent and consumed, on either runtime, by a broker within this process.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example consume`

use core::error::Error;
use core::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{Client, Message, ReceivedMessage, UnreadableBody};

async fn consume<B: Backend + Default>(backend: B) -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await?;
    let name_server = broker.name_server_address().to_string();
    // `turbopump::tokio::Client`, or `turbopump::smol::Client`.
    let client = Client::<B>::connect(&name_server).await?;
    let producer = client.producer("producers");
    for number in 0..10 {
        producer.send(Message::new("topic", format!("message {number}")).tag("even")).await?;
    }

    let consumer = client.consumer("consumers").subscribe("topic", "even || odd");
    let consumer = consumer.start(async |message: ReceivedMessage| {
        println!("{:?} from queue {}", message.body()?, message.queue());
        // An error would mean: once more, later.
        Ok::<(), UnreadableBody>(())
    });
    let consumer = consumer.await?;
    while consumer.stats().done() < 10 {
        backend.sleep_until(backend.now() + Duration::from_millis(10)).await;
    }

    let report = consumer.shutdown(Duration::from_secs(5)).await;
    println!("{report:?}");
    client.close().await;
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { consume(turbopump::tokio::Backend::new()).await })?;
    smol::block_on(consume(turbopump::smol::Backend::new()))
}
