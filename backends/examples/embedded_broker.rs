//! A RocketMQ broker within this process, as a test would start it: on either runtime.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example embedded_broker`

use core::error::Error;
use core::time::Duration;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, Fault, FaultAction};

async fn show<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let mut config = BrokerConfig::default();
    config.auto_create_topics = false;
    let broker = EmbeddedBroker::start(backend, config).await?;
    println!("clients are to use the name server {}", broker.name_server_address());

    // What a test wants to see: how a client takes it when the broker is busy.
    let remark = "[TIMEOUT_CLEAN_QUEUE]broker busy".to_owned();
    broker.inject(Fault::new(FaultAction::Refuse { code: 2, remark }).of_code(310).times(3));
    broker.keep_journal(1_000);

    // Delays, transaction checks and locks are over at once.
    broker.advance_clock(Duration::from_secs(3_600));

    let stats = broker.stats();
    println!("{} connections, {} topics", stats.connections, stats.topics);
    for entry in broker.take_journal() {
        println!("{} has asked for {}", entry.peer, entry.code);
    }
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(show(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(show(turbopump::smol::Backend::new()))
}
