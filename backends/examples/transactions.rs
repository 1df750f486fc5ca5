//! Messages that are seen once what they are about is done, whatever happens in between.
//!
//! `cargo run -p turbopump --features broker,smol,tokio --example transactions`

use core::error::Error;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker};
use turbopump::runtime::client::{
    Client, ClientConfig, HalfMessage, Message, SendReceipt, TransactionListener, TransactionState,
};

/// Stands for a database.
#[derive(Default)]
struct Accounts {
    booked: Mutex<HashSet<String>>,
}

impl Accounts {
    fn booked(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TransactionListener for Accounts {
    /// The message is stored, and nobody sees it yet: now the work itself.
    async fn execute(&self, message: &Message, receipt: &SendReceipt) -> TransactionState {
        if message.body() == b"not enough money" {
            return TransactionState::Rollback;
        }
        self.booked().insert(receipt.message_id.to_string());
        TransactionState::Commit
    }

    /// The broker has heard nothing, because a process or a connection has died: was it done?
    async fn check(&self, message: &HalfMessage) -> TransactionState {
        match self.booked().contains(&message.message_id) {
            true => TransactionState::Commit,
            false => TransactionState::Unknown,
        }
    }
}

async fn run<B: Backend>(backend: B) -> Result<(), Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await?;
    let list = broker.name_server_address().to_string();
    let client = Client::start(backend, ClientConfig::new(&list)).await?;

    let producer = client.transaction_producer("bank", Accounts::default());
    for body in ["50 to Ann", "not enough money"] {
        let sent = producer.send_in_transaction(Message::new("Transfers", body)).await?;
        println!("{body}: {:?}, the broker knows: {}", sent.state, sent.is_told);
    }
    println!("{} booked", producer.listener().booked().len());

    client.close().await;
    broker.shutdown().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(turbopump::tokio::Backend::on(runtime.handle().clone())))?;
    smol::block_on(run(turbopump::smol::Backend::new()))
}
