//! `turbopump broker`: a broker and a name server until somebody stops them.

mod arguments;

use alloc::sync::Arc;
use core::error::Error;
use std::io::{self, Write};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::EmbeddedBroker;

use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::switch::{Switch, stop_at_ctrl_c};

pub(crate) use arguments::BrokerArguments;

pub(crate) fn run(arguments: &BrokerArguments) -> Result<Ended, Box<dyn Error>> {
    let stop = stop_at_ctrl_c()?;
    match arguments.backend {
        BackendName::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            runtime.block_on(serve(backend, arguments, stop))
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(serve(backend, arguments, stop))
        }
    }
}

async fn serve<B: Backend>(
    backend: B,
    arguments: &BrokerArguments,
    stop: Arc<Switch>,
) -> Result<Ended, Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend, arguments.config()?).await?;
    let (name_server, address) = (broker.name_server_address(), broker.address());
    for address in [name_server, address] {
        if !address.ip().is_loopback() {
            eprintln!(
                "turbopump: WARNING: {address} can be reached from other machines, by anybody"
            );
        }
    }
    // Whoever waits for this line may have closed the pipe: the broker runs all the same.
    let _ = writeln!(io::stdout().lock(), "ready namesrv={name_server} broker={address}");
    stop.off().await;
    broker.shutdown().await;
    Ok(Ended::Well)
}
