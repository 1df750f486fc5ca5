//! From a request to an answer: a function, without sockets.

use core::future::Future;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};
use serde_json::json;
use turbopump_core::compress::{Compress, Deflate, Format, compressed_len_max};
use turbopump_core::stats::{VisitError, text};

use super::negotiate::{Form, form, takes_gzip};
use super::reply::{Reply, Route};
use crate::monitor::config::Check;
use crate::monitor::json;
use crate::monitor::sources::{Snapshot, Sources};

/// Answers requests.
pub(in super::super) trait Pages: Send + Sync + 'static {
    /// Answers. The body of a request is of no interest.
    fn respond(&self, request: &request::Parts) -> impl Future<Output = Response<Bytes>> + Send;
}

/// Knows all pages.
pub(in super::super) struct Router {
    pub(in super::super) sources: Sources,
    pub(in super::super) labels: Vec<(String, String)>,
    pub(in super::super) metrics_path: String,
    pub(in super::super) routes: Vec<(String, Route)>,
    pub(in super::super) checks: Vec<(String, Check)>,
}

impl Pages for Router {
    fn respond(&self, request: &request::Parts) -> impl Future<Output = Response<Bytes>> + Send {
        core::future::ready(self.answer(request))
    }
}

impl Router {
    fn answer(&self, request: &request::Parts) -> Response<Bytes> {
        let is_head = request.method == Method::HEAD;
        let page = self.page(request);
        let Some(page) = page else {
            return not_found(is_head, "nothing here; try /, /metrics, /healthz\n");
        };
        if request.method != Method::GET && !is_head {
            return not_allowed();
        }
        // A page of the user's that panics is theirs; the connection is not.
        let reply = catch_unwind(AssertUnwindSafe(|| page()));
        let reply =
            reply.unwrap_or_else(|_| Reply::text("this page has panicked\n").with_status(500));
        respond_with(reply, &request.headers, is_head)
    }

    /// Which page is asked for; it is not made yet.
    fn page<'r>(&'r self, request: &'r request::Parts) -> Option<Arc<dyn Fn() -> Reply + 'r>> {
        let path = request.uri.path();
        if let Some((_, route)) = self.routes.iter().rev().find(|(own, _)| own == path) {
            return Some(Arc::new(|| route()));
        }
        if let Some(rest) = path.strip_prefix(self.metrics_path.as_str()) {
            let form = match rest {
                "" => form(&request.headers),
                ".json" => Form::Json,
                _ => return None,
            };
            return Some(Arc::new(move || self.metrics(form)));
        }
        match path {
            "/health" | "/healthz" => {
                Some(Arc::new(|| Reply::json(json!({"status": "ok"}).to_string())))
            }
            "/readyz" => Some(Arc::new(|| self.readiness())),
            _ => None,
        }
    }

    fn metrics(&self, form: Form) -> Reply {
        match self.write(&self.sources.snapshot(), form) {
            Ok(page) => Reply::new(form.content_type(), page),
            // A source is wrong; whoever wrote it has to know.
            Err(error) => Reply::text(format!("{error}\n")).with_status(500),
        }
    }

    fn write(&self, snapshot: &Snapshot, form: Form) -> Result<String, VisitError> {
        let labels: Vec<_> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut page = String::new();
        match form {
            Form::Prometheus => text::write_prometheus(snapshot.sources(), &labels, &mut page)?,
            Form::OpenMetrics => text::write_openmetrics(snapshot.sources(), &labels, &mut page)?,
            Form::Json => page = json::of_snapshot(snapshot, &labels)?,
        }
        Ok(page)
    }

    fn readiness(&self) -> Reply {
        let reasons: Vec<_> = self
            .checks
            .iter()
            .filter_map(|(name, check)| {
                let reason = check().err()?;
                Some(json!({"check": name, "reason": reason}))
            })
            .collect();
        let (status, word) = if reasons.is_empty() { (200, "ready") } else { (503, "not ready") };
        let body = json!({"status": word, "reasons": reasons});
        Reply::json(body.to_string()).with_status(status)
    }
}

pub(in super::super) fn not_found(is_head: bool, text: &'static str) -> Response<Bytes> {
    plain(StatusCode::NOT_FOUND, is_head, text)
}

pub(in super::super) fn not_allowed() -> Response<Bytes> {
    let mut response =
        plain(StatusCode::METHOD_NOT_ALLOWED, false, "only GET and HEAD are allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(in super::super) fn respond_with(
    reply: Reply,
    headers: &HeaderMap,
    is_head: bool,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    own.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    own.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    let mut body = reply.body;
    if body.len() >= GZIP_FROM_BYTES
        && takes_gzip(headers)
        && let Some(packed) = gzip(&body)
    {
        own.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        body = packed;
    }
    // The length says what GET would bring.
    own.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !is_head {
        *response.body_mut() = Bytes::from(body);
    }
    response
}

fn plain(status: StatusCode, is_head: bool, text: &'static str) -> Response<Bytes> {
    respond_with(Reply::text(text).with_status(status.as_u16()), &HeaderMap::new(), is_head)
}

/// Shorter ones fit a packet anyway.
const GZIP_FROM_BYTES: usize = 1_024;

/// The same as gzip, where that is shorter.
pub(in super::super) fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut packed = alloc::vec![0; compressed_len_max(Format::Gzip, body.len())?];
    let mut deflate = Deflate::new(Format::Gzip, 1).ok()?;
    let len = deflate.compress(body, &mut packed).ok()?;
    packed.truncate(len);
    (len < body.len()).then_some(packed)
}
