//! Pages for those who look for a fault: settings, what there is, what has happened, profiles.
//!
//! They have a listener of their own, because they say more than numbers do, and profiles cost
//! something. This module decides which page is asked for and who may profile; the server around it
//! is the monitor's.

mod events;
mod hide;
mod overview;
#[cfg(feature = "profile")]
mod profile;

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use alloc::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, request};
use serde_json::Value;

use super::config::MonitorConfig;
use super::http::{Pages, Reply, not_allowed, not_found, prefers_html, respond_with};
use super::sources::Sources;
use crate::backend::Backend;
use crate::end::End;

pub(super) use events::Changes;
pub use events::{EVENTS_MAX, Events};

/// Knows all debug pages.
pub(super) struct DebugPages<B: Backend> {
    #[cfg_attr(not(all(unix, feature = "profile")), allow(dead_code))]
    backend: B,
    #[cfg_attr(not(all(unix, feature = "profile")), allow(dead_code))]
    end: Arc<End>,
    sources: Sources,
    settings: Value,
    events: Events,
}

impl<B: Backend> DebugPages<B> {
    pub(super) fn new(backend: B, end: Arc<End>, sources: Sources, config: &MonitorConfig) -> Self {
        let (settings, events) = (overview::settings(config), config.events.clone());
        Self { backend, end, sources, settings, events }
    }

    /// A page that is made at once.
    fn page(&self, page: Page, request: &request::Parts) -> Reply {
        match page {
            Page::Overview => {
                let snapshot = self.sources.snapshot();
                let document = overview::document(&self.settings, &snapshot, &self.events);
                match prefers_html(&request.headers) {
                    true => Reply::html(overview::html(&document)),
                    false => Reply::json(alloc::format!("{document}\n")),
                }
            }
            Page::Index => Reply::html(overview::INDEX.into()),
            #[cfg(feature = "profile")]
            Page::Heap => profile::heap(&self.sources.snapshot()),
            #[cfg(feature = "profile")]
            Page::Tasks => profile::tasks(),
            _ => not_built_in(),
        }
    }

    #[cfg(all(unix, feature = "profile"))]
    async fn processor(&self, request: &request::Parts, is_head: bool) -> Reply {
        profile::processor(&self.backend, &self.end, &self.events, request, is_head).await
    }

    #[cfg(not(all(unix, feature = "profile")))]
    async fn processor(&self, _: &request::Parts, _: bool) -> Reply {
        not_built_in()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Overview,
    Index,
    Processor,
    Heap,
    Tasks,
}

impl Page {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/debug" | "/debug/" => Some(Self::Overview),
            "/debug/pprof" | "/debug/pprof/" => Some(Self::Index),
            "/debug/pprof/profile" => Some(Self::Processor),
            "/debug/pprof/heap" => Some(Self::Heap),
            "/debug/pprof/tasks" => Some(Self::Tasks),
            _ => None,
        }
    }
}

impl<B: Backend> Pages for DebugPages<B> {
    async fn respond(&self, request: &request::Parts) -> Response<Bytes> {
        let is_head = request.method == Method::HEAD;
        let Some(page) = Page::of(request.uri.path()) else {
            return not_found(is_head, "nothing here; try /debug, /debug/pprof/\n");
        };
        if request.method != Method::GET && !is_head {
            return not_allowed();
        }
        let reply = match page {
            Page::Processor => self.processor(request, is_head).await,
            // A source of the user's that panics is theirs; the connection is not.
            page => catch_unwind(AssertUnwindSafe(|| self.page(page, request)))
                .unwrap_or_else(|_| Reply::text("a source has panicked\n").with_status(500)),
        };
        respond_with(reply, &request.headers, is_head)
    }
}

fn not_built_in() -> Reply {
    let why = "profiles are not built in: they need the feature `profile`, and Unix for the \
        processor's\n";
    Reply::text(why).with_status(501)
}
