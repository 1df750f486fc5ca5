//! `turbopump broker`: a broker and a name server until somebody stops them.

mod arguments;
mod namesrv;
mod security;
mod watching;

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::EmbeddedBroker;
use turbopump::runtime::broker::store::{Folder, verify};

use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::switch::{Switch, stop_at_ctrl_c};

pub(crate) use arguments::{BrokerArguments, NamesrvArguments};
pub(crate) use namesrv::run as run_namesrv;
pub(crate) use security::users;
pub(crate) use watching::run as run_monitor;

/// How often it is looked for something worth knowing.
const NOTICES_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &BrokerArguments) -> Result<Ended, Box<dyn Error>> {
    if let Some(folder) = &arguments.verify {
        return look_at(folder);
    }
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

/// Says what is in a store, and changes nothing.
fn look_at(folder: &Path) -> Result<Ended, Box<dyn Error>> {
    if !folder.is_dir() {
        return Err(format!("{} is not a folder", folder.display()).into());
    }
    let disk = Folder::open(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = verify(&disk)?;
    writeln!(io::stdout().lock(), "{found}")?;
    Ok(if found.is_flawless() { Ended::Well } else { Ended::Badly })
}

async fn serve<B: Backend>(
    backend: B,
    arguments: &BrokerArguments,
    stop: Arc<Switch>,
) -> Result<Ended, Box<dyn Error>> {
    let broker = EmbeddedBroker::start(backend.clone(), arguments.config()?).await?;
    let (name_server, address) = (broker.name_server_address(), broker.address());
    let monitor = watching::start(backend.clone(), arguments, &broker).await?;
    // Whoever waits for this line may have closed the pipe: the broker runs all the same.
    let _ = writeln!(io::stdout().lock(), "ready namesrv={name_server} broker={address}");
    loop {
        while let Some(notice) = broker.poll_notice() {
            watching::tell(&notice);
        }
        let pause = backend.sleep_until(Instant::now() + NOTICES_EVERY);
        if stop.unless_off(pause).await.is_none() {
            break;
        }
    }
    if let Some(monitor) = monitor {
        monitor.stop().await;
    }
    broker.shutdown().await;
    Ok(Ended::Well)
}
