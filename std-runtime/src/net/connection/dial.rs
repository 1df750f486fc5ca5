//! Opening one connection: name, socket, TLS, each within its time.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::time::Instant;

use turbopump_core::time::Clock;

use super::error::{DialCause, DialError, Phase};
use super::halves::{ReadHalf, WriteHalf};
use super::live::Live;
use super::settings::us;
use super::shared::Shared;
use crate::backend::Backend;
use crate::within::within;

/// Dials the pool's endpoint.
pub(super) async fn dial<B: Backend>(shared: &Shared<B>) -> Result<Live<B>, DialError> {
    let (backend, endpoint, settings) = (&shared.backend, &shared.endpoint, &shared.settings);
    let after = settings.connect_timeout;
    let deadline = backend.now() + after;
    let fails = |phase, cause| DialError::new(endpoint, phase, cause);
    let age_us_max = us(settings.addresses_max_age);
    loop {
        let now = shared.clock.now().at;
        let found = shared.addresses.find(backend, endpoint, now, age_us_max);
        let found = within(backend, deadline, found)
            .await
            .ok_or_else(|| fails(Phase::Resolve, DialCause::TimedOut { after }))?
            .map_err(|error| fails(Phase::Resolve, DialCause::Io(error)))?;
        let connected = connect(shared, &found.addresses, deadline).await;
        match connected {
            Ok((halves, address)) => return secure(shared, halves, address).await,
            Err(_) if found.is_remembered => shared.addresses.forget(),
            Err(Failed::NoAddress) => return Err(fails(Phase::Resolve, DialCause::NoAddress)),
            Err(Failed::TimedOut) => {
                shared.addresses.forget();
                return Err(fails(Phase::Dial, DialCause::TimedOut { after }));
            }
            Err(Failed::Io(error)) => {
                shared.addresses.forget();
                return Err(fails(Phase::Dial, DialCause::Io(error)));
            }
        }
    }
}

enum Failed {
    NoAddress,
    TimedOut,
    Io(io::Error),
}

type Halves<B> = (<B as Backend>::Reader, <B as Backend>::Writer);

/// Tries one address after the other. Each gets an equal part of the time that is left, so that
/// one that swallows everything leaves time for the others.
async fn connect<B: Backend>(
    shared: &Shared<B>,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(Halves<B>, SocketAddr), Failed> {
    let mut failed = Failed::NoAddress;
    for (index, address) in addresses.iter().enumerate() {
        let now = shared.backend.now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let until = now + deadline.saturating_duration_since(now) / left;
        let dialed = shared.backend.dial(*address, &shared.settings.socket);
        match within(&shared.backend, until, dialed).await {
            Some(Ok(halves)) => {
                shared.addresses.prefer(*address);
                return Ok((halves, *address));
            }
            Some(Err(error)) => failed = Failed::Io(error),
            None => failed = Failed::TimedOut,
        }
    }
    Err(failed)
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "there is something to wait for with the feature tls")]
async fn secure<B: Backend>(
    _shared: &Shared<B>,
    (reader, writer): Halves<B>,
    address: SocketAddr,
) -> Result<Live<B>, DialError> {
    Ok(Live::new(ReadHalf::Plain(reader), WriteHalf::Plain(writer), address))
}

#[cfg(feature = "tls")]
async fn secure<B: Backend>(
    shared: &Shared<B>,
    halves: Halves<B>,
    address: SocketAddr,
) -> Result<Live<B>, DialError> {
    use crate::net::tls::TlsError;

    let Some(tls) = &shared.settings.tls else {
        let (reader, writer) = halves;
        return Ok(Live::new(ReadHalf::Plain(reader), WriteHalf::Plain(writer), address));
    };
    let after = shared.settings.tls_timeout;
    let deadline = shared.backend.now() + after;
    let endpoint = &shared.endpoint;
    match tls.connect(&shared.backend, endpoint.host(), halves, deadline).await {
        Ok((reader, writer)) => {
            Ok(Live::new(ReadHalf::Tls(reader), WriteHalf::Tls(writer), address))
        }
        Err(TlsError::HandshakeTimedOut { .. }) => {
            Err(DialError::new(endpoint, Phase::Tls, DialCause::TimedOut { after }))
        }
        Err(error) => Err(DialError::new(endpoint, Phase::Tls, DialCause::Io(error.into()))),
    }
}

/// As [`within`], without a timer where there is nothing to wait for.
pub(super) async fn at_once_or_within<B: Backend, T>(
    backend: &B,
    timeout: Duration,
    mut operation: impl FnMut(&mut core::task::Context<'_>) -> Poll<T>,
) -> Option<T> {
    let at_once = poll_fn(|cx| Poll::Ready(operation(cx))).await;
    match at_once {
        Poll::Ready(output) => Some(output),
        Poll::Pending => within(backend, backend.now() + timeout, poll_fn(operation)).await,
    }
}
