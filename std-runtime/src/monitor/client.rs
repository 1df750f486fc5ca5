//! Posts something to a server: a small HTTP client over the halves of any backend.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::time::Instant;

use alloc::vec::Vec;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;

use super::http::Joined;
use crate::backend::{Backend, Endpoint, SocketOptions};
use crate::within::within;

/// Posts to one URL.
pub(super) struct Client<B> {
    backend: B,
    endpoint: Endpoint,
    uri: Uri,
}

impl<B: Backend> Client<B> {
    /// For a URL such as `http://127.0.0.1:9093/hook`.
    pub(super) fn new(backend: B, url: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason| InvalidUrl { reason };
        let uri: Uri = url.parse().map_err(|_| invalid("is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid("must begin with http://"));
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("has no host"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let endpoint = Endpoint::new(bare, uri.port_u16().unwrap_or(80));
        Ok(Self { backend, endpoint, uri })
    }

    /// Posts a body over a connection of its own, and waits for the answer's status.
    pub(super) async fn post(
        &self,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), PostError> {
        let posting = self.exchange(content_type, headers, body);
        let posted = within(&self.backend, Instant::now() + TIMEOUT, posting).await;
        posted.unwrap_or(Err(PostError::TimedOut))
    }

    async fn exchange(
        &self,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), PostError> {
        let (host, port) = (self.endpoint.host(), self.endpoint.port());
        let address = match self.endpoint.socket_address() {
            Some(address) => address,
            None => {
                let resolved = self.backend.resolve(host, port).await.map_err(PostError::Io)?;
                let none = || PostError::Io(io::ErrorKind::NotFound.into());
                *resolved.first().ok_or_else(none)?
            }
        };
        let dialed = self.backend.dial(address, &SocketOptions::default()).await;
        let (reader, writer) = dialed.map_err(PostError::Io)?;
        let shaken = http1::handshake(Joined { reader, writer }).await;
        let (mut sender, connection) = shaken.map_err(PostError::Http)?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(PostError::Request)?;
        let mut connection = pin!(connection);
        let mut asking = pin!(sender.send_request(request));
        let mut is_open = true;
        let answer = poll_fn(|cx| {
            // Whoever drives the connection: its end shows in the answer.
            if is_open && connection.as_mut().poll(cx).is_ready() {
                is_open = false;
            }
            asking.as_mut().poll(cx)
        });
        let status = answer.await.map_err(PostError::Http)?.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Why something was not taken.
#[derive(Debug)]
pub(super) enum PostError {
    Io(io::Error),
    Http(hyper::Error),
    Request(http::Error),
    Status(StatusCode),
    TimedOut,
}

impl PostError {
    /// True where trying again would lead to the same.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Status(status) => {
                let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !later.contains(status)
            }
            Self::Request(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the answer is {status}"),
            Self::TimedOut => write!(f, "no answer within {} s", TIMEOUT.as_secs()),
        }
    }
}

/// A URL that nothing can be posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    reason: &'static str,
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the URL {}; write http://HOST:PORT/PATH", self.reason)
    }
}

impl core::error::Error for InvalidUrl {}
