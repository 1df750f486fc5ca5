//! `turbopump namesrv`: a name server until somebody stops it.

use alloc::sync::Arc;
use core::error::Error;
use std::io::{self, Write};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::EmbeddedNameServer;
use turbopump::runtime::broker::name_server::NameServerConfig;

use super::{NamesrvArguments, watching};
use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::switch::{Switch, stop_at_ctrl_c};

pub(crate) fn run(arguments: &NamesrvArguments) -> Result<Ended, Box<dyn Error>> {
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
    arguments: &NamesrvArguments,
    stop: Arc<Switch>,
) -> Result<Ended, Box<dyn Error>> {
    let mut config = NameServerConfig::default();
    config.listen = arguments.listen;
    config.tls = arguments.tls.config()?;
    let name_server = EmbeddedNameServer::start(backend.clone(), config).await?;
    arguments.tls.warn(name_server.address());
    let monitor = watching::start_namesrv(backend, arguments, &name_server).await?;
    // Whoever waits for this line may have closed the pipe: it runs all the same.
    let _ = writeln!(io::stdout().lock(), "ready namesrv={}", name_server.address());
    stop.unless_off(core::future::pending::<()>()).await;
    if let Some(monitor) = monitor {
        monitor.stop().await;
    }
    name_server.shutdown().await;
    Ok(Ended::Well)
}
