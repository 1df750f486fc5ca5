//! Lines in, batches out: to a function, and to a file.
//!
//! `cargo run -p turbopump --features tokio,smol --example batch`

use core::error::Error;

use turbopump::core::batch::{Batch, Outcome, Settled};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::{
    BatchHandler, BatchSender, BatchSettings, BatchStore, FileRecords, FileSink, SyncPolicy,
};

/// Fails for one line in a hundred when it sees it first.
struct Uploader;

impl BatchHandler<String> for Uploader {
    async fn handle(&self, batch: &mut Batch<'static, String>) {
        let attempt = batch.attempt();
        for mut entry in batch {
            if attempt == 0 && entry.item().ends_with("00") {
                entry.set(Outcome::Retry);
            }
        }
    }

    fn settled(&self, line: String, how: Settled) {
        if how != Settled::Done {
            eprintln!("given up: {line:?} ({how:?})");
        }
    }
}

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let sender = BatchSender::new(backend.clone(), BatchSettings::of_bytes(), Uploader)?;
    sender.start()?;
    let path = std::env::temp_dir().join(format!("turbopump-batch-{}", std::process::id()));
    let sink = FileSink::records(&path)?;
    let settings = BatchSettings::<String>::of_bytes();
    let store = BatchStore::new(backend, settings, SyncPolicy::EveryBatch, sink)?;
    store.start()?;

    for number in 0..10_000 {
        let line = format!("line {number}");
        store.store(line.clone()).await?;
        sender.send(line).await?;
    }
    sender.stop().await;
    store.stop().await;

    let counters = sender.stats().counters;
    let (batches, retried) = (counters.batches.get(), counters.retried.get());
    println!("{} lines sent in {batches} batches, {retried} twice", counters.succeeded.get());
    let (mut records, mut stored) = (FileRecords::open(&path)?, 0);
    while records.next_record()?.is_some() {
        stored += 1;
    }
    println!("{stored} lines stored in {} bytes", records.whole_bytes());
    std::fs::remove_file(path)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
