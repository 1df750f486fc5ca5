//! Which name servers there are: as the settings say, as address servers say, and what names stand
//! for at the moment.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::{NameServer, name_servers};

use super::Inner;
use super::address_server::fetch;
use super::config::ClientConfig;
use super::error::ConnectError;
use crate::backend::{Backend, Endpoint};
use crate::net::PoolSettings;
use crate::tasks::kinds;

/// Where nobody answers, lists are not fetched again earlier.
const QUIET: Duration = Duration::from_secs(1);
/// How long looking may take that nobody waits for.
const LOOKS_WITHIN: Duration = Duration::from_secs(10);

/// What is known of them.
pub(super) struct NameServers {
    state: Mutex<State>,
}

struct State {
    list: Box<str>,
    sources: Arc<[Source]>,
    /// Another one with each list.
    version: u64,
    looked: Instant,
    /// Not only when it is time to.
    is_wanted: bool,
    is_looking: bool,
}

/// An entry of a list.
#[derive(Clone)]
enum Source {
    Endpoint(Endpoint),
    AddressServer {
        url: Box<str>,
        /// What it said when it last answered.
        last: Box<[Endpoint]>,
    },
}

/// What looking has brought.
struct Found {
    sources: Arc<[Source]>,
    /// Each once, in the order of the list.
    endpoints: Vec<Endpoint>,
    /// Why one of the lists could not be fetched.
    failure: Option<ConnectError>,
}

impl Found {
    fn into_endpoints(self) -> Result<Vec<Endpoint>, ConnectError> {
        match self.failure {
            Some(failure) if self.endpoints.is_empty() => Err(failure),
            _ => Ok(self.endpoints),
        }
    }
}

impl NameServers {
    /// Reads the list of a client's settings, and fetches what is to be fetched.
    pub(super) async fn find<B: Backend>(
        backend: &B,
        config: &ClientConfig,
        settings: &PoolSettings,
    ) -> Result<(Self, Vec<Endpoint>), ConnectError> {
        let sources = read(&config.name_servers)?;
        let until = backend.now() + Duration::from_micros(config.send.timeout_us);
        let found = look(backend, &sources, settings, until).await;
        let state = State {
            list: config.name_servers.as_str().into(),
            sources: Arc::clone(&found.sources),
            version: 0,
            looked: backend.now(),
            is_wanted: false,
            is_looking: false,
        };
        Ok((Self { state: Mutex::new(state) }, found.into_endpoints()?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, as it may be shown.
    pub(super) fn text(&self) -> Box<str> {
        without_queries(&self.state().list).into()
    }
}

/// The entries of a list; at least one.
fn read(list: &str) -> Result<Vec<Source>, ConnectError> {
    let mut sources = Vec::new();
    for entry in name_servers(list) {
        sources.push(match entry {
            Ok(NameServer::Endpoint { host, port }) => Source::Endpoint(Endpoint::new(host, port)),
            Ok(NameServer::AddressServer { url }) => {
                Source::AddressServer { url: url.into(), last: Box::default() }
            }
            Ok(_) => continue,
            Err(invalid) => {
                let (entry, reason) = (invalid.entry.into(), invalid.reason);
                return Err(ConnectError::NameServers { entry, reason });
            }
        });
    }
    match sources.is_empty() {
        true => Err(ConnectError::NameServers { entry: list.into(), reason: "names nobody" }),
        false => Ok(sources),
    }
}

/// Asks one address server after the other, by `until`. Where one does not answer, what it said
/// before still holds.
async fn look<B: Backend>(
    backend: &B,
    sources: &[Source],
    settings: &PoolSettings,
    until: Instant,
) -> Found {
    let (mut looked, mut endpoints, mut failure) = (Vec::new(), Vec::new(), None);
    let mut waiting = sources.iter().filter(|source| source.is_fetched()).count();
    for source in sources {
        let mut source = source.clone();
        let named = match &mut source {
            Source::Endpoint(endpoint) => core::slice::from_ref(&*endpoint),
            Source::AddressServer { url, last } => {
                let left = until.saturating_duration_since(backend.now());
                // The others have time as well.
                let share = left / u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
                waiting -= 1;
                match fetch(backend, url, settings, share).await {
                    Ok(list) => *last = list,
                    Err(reason) => {
                        let url = without_queries(url).into();
                        failure = Some(ConnectError::AddressServer { url, reason });
                    }
                }
                &**last
            }
        };
        for endpoint in named {
            if !endpoints.contains(endpoint) {
                endpoints.push(endpoint.clone());
            }
        }
        looked.push(source);
    }
    Found { sources: looked.into(), endpoints, failure }
}

impl Source {
    const fn is_fetched(&self) -> bool {
        matches!(self, Self::AddressServer { .. })
    }
}

/// What stands behind the `?` of a URL may be a secret.
pub(super) fn without_queries(list: &str) -> String {
    let mut shown = String::with_capacity(list.len());
    for piece in list.split_inclusive([';', ',']) {
        match piece.split_once('?') {
            Some((url, query)) if url.contains("://") => {
                shown.push_str(url);
                shown.push_str("?...");
                shown.extend(query.chars().last().filter(|end| [';', ','].contains(end)));
            }
            _ => shown.push_str(piece),
        }
    }
    shown
}

impl<B: Backend> Inner<B> {
    /// From now on asks those of another list.
    pub(super) async fn set_name_servers(&self, list: &str) -> Result<(), ConnectError> {
        let sources = read(list)?;
        let until = self.backend.now() + Duration::from_micros(self.config.send.timeout_us);
        let found = look(&self.backend, &sources, &self.peers.settings, until).await;
        let sources = Arc::clone(&found.sources);
        let endpoints = found.into_endpoints()?;
        let mut state = self.name_servers.state();
        state.list = list.into();
        (state.sources, state.looked) = (sources, self.backend.now());
        state.version += 1;
        self.ask_these(&endpoints);
        drop(state);
        self.routes.doubt_all();
        // Another time to look.
        self.groups.bell.ring();
        Ok(())
    }

    /// From now on asks those that are here, if there are any.
    fn ask_these(&self, endpoints: &[Endpoint]) {
        let list = self.routes.name_servers();
        let is_same = list.peers().iter().map(|peer| &peer.endpoint).eq(endpoints);
        if is_same || endpoints.is_empty() {
            return;
        }
        let peers = endpoints.iter().map(|endpoint| self.peers.at(endpoint)).collect();
        self.routes.set_name_servers(peers);
        self.let_go();
    }

    /// None of them answers: looks whether there are others.
    pub(super) fn look_for_name_servers(&self) {
        let mut state = self.name_servers.state();
        let is_first = !core::mem::replace(&mut state.is_wanted, true);
        if is_first && state.sources.iter().any(Source::is_fetched) {
            drop(state);
            self.groups.bell.ring();
        }
    }

    /// Looks again where it is time to, by a task of its own; returns when it will be.
    pub(super) fn look_where_due(self: &Arc<Self>) -> Option<Instant> {
        if self.closing.is_over() {
            return None;
        }
        let (now, every) = (self.backend.now(), self.config.name_servers_interval);
        let mut state = self.name_servers.state();
        if state.is_looking {
            return None;
        }
        let is_hurried = state.is_wanted && state.sources.iter().any(Source::is_fetched);
        let pause = if is_hurried { every.min(QUIET) } else { every };
        // Whatever is set, it does not spin.
        let due = state.looked + pause.max(Duration::from_millis(1));
        if now < due {
            return Some(due);
        }
        (state.is_looking, state.is_wanted) = (true, false);
        let (version, sources) = (state.version, Arc::clone(&state.sources));
        drop(state);
        let looking = Looking { inner: Arc::downgrade(self), version };
        let (backend, settings) = (self.backend.clone(), self.peers.settings.clone());
        let peers: Vec<_> = self.known_peers().into_iter().map(|(peer, _)| peer).collect();
        kinds::CLIENT_NAME_SERVERS.spawn(&self.backend, async move {
            let until = backend.now() + LOOKS_WITHIN;
            let found = look(&backend, &sources, &settings, until).await;
            looking.end(found);
            for peer in peers {
                peer.look_up(backend.now() + LOOKS_WITHIN).await;
            }
        });
        None
    }
}

/// The task that looks.
struct Looking<B: Backend> {
    inner: Weak<Inner<B>>,
    version: u64,
}

impl<B: Backend> Looking<B> {
    fn end(self, found: Found) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut state = inner.name_servers.state();
        (state.is_looking, state.looked) = (false, inner.backend.now());
        // Somebody may have set another list meanwhile.
        if state.version == self.version && !inner.closing.is_over() {
            state.sources = found.sources;
            inner.ask_these(&found.endpoints);
        }
        drop(state);
        inner.groups.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_shown_without_what_may_be_a_secret() {
        for (list, shown) in [
            ("a:1;b:2", "a:1;b:2"),
            ("http://a/x?token=y;b:2", "http://a/x?...;b:2"),
            ("http://a/x?token=y", "http://a/x?..."),
            ("a:1,https://a?z,http://b", "a:1,https://a?...,http://b"),
        ] {
            assert_eq!(without_queries(list), shown);
        }
    }
}
