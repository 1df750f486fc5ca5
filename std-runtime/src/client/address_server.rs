//! Lists of name servers that are fetched by HTTP.
//!
//! One request in HTTP/1.0 (RFC 1945), so that the answer ends where the connection does and comes
//! in one piece. What is understood is what Java's client understands: a body with the list, of
//! which it takes the first line; here, more lines are more entries.

use core::time::Duration;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::{NameServer, name_servers};

use crate::backend::{Backend, Endpoint};
use crate::net::{ConnectionPool, PoolSettings};
use crate::within::within;

/// The longest answer that is read, with its head.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Lines of its head.
const HEADERS_MAX: usize = 64;
/// Entries of a list.
const ENTRIES_MAX: usize = 256;

/// The name servers that an address server names, within `timeout`.
pub(super) async fn fetch<B: Backend>(
    backend: &B,
    url: &str,
    settings: &PoolSettings,
    timeout: Duration,
) -> Result<Box<[Endpoint]>, Box<str>> {
    let url = Url::parse(url)?;
    let settings = url.settings(settings)?;
    let until = backend.now() + timeout;
    let asked = within(backend, until, ask(backend, &url, settings, timeout)).await;
    let answer = asked.unwrap_or_else(|| Err(format!("no answer within {timeout:?}").into()))?;
    read_list(body(&answer)?)
}

struct Url<'u> {
    is_encrypted: bool,
    endpoint: Endpoint,
    authority: &'u str,
    path: &'u str,
}

impl<'u> Url<'u> {
    fn parse(url: &'u str) -> Result<Self, Box<str>> {
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the URL has something in it that has to be percent-encoded".into());
        }
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("the URL has a user in it, which is not supported".into());
        }
        let is_encrypted = scheme == "https";
        let port = if is_encrypted { 443 } else { 80 };
        // A colon within brackets belongs to the address.
        let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let endpoint = match has_port {
            true => authority.parse::<Endpoint>(),
            false => format!("{authority}:{port}").parse(),
        };
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        Ok(Self { is_encrypted, endpoint, authority, path })
    }

    /// How the connection is made.
    fn settings(&self, settings: &PoolSettings) -> Result<PoolSettings, Box<str>> {
        #[cfg_attr(not(feature = "tls"), expect(unused_mut))]
        let mut settings = PoolSettings { connections_max: 1, ..settings.clone() };
        #[cfg(feature = "tls")]
        let is_possible = match self.is_encrypted {
            true => settings.tls.is_some(),
            false => {
                settings.tls = None;
                true
            }
        };
        #[cfg(not(feature = "tls"))]
        let is_possible = !self.is_encrypted;
        match is_possible {
            true => Ok(settings),
            false => Err("https needs the client's `tls`, which says whom to trust".into()),
        }
    }

    fn request(&self) -> String {
        let Self { authority, path, .. } = self;
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!(
            "GET {slash}{path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: turbopump\r\n\
             Accept: text/plain, */*\r\nConnection: close\r\n\r\n"
        )
    }
}

/// Whatever is answered, until the connection ends.
async fn ask<B: Backend>(
    backend: &B,
    url: &Url<'_>,
    settings: PoolSettings,
    timeout: Duration,
) -> Result<Vec<u8>, Box<str>> {
    let pool = ConnectionPool::with_checked(backend.clone(), url.endpoint.clone(), settings);
    let connection = pool.get_within(timeout).await;
    let mut connection = connection.map_err(|error| error.to_string().into_boxed_str())?;
    let failed = |error: &dyn core::fmt::Display| error.to_string().into_boxed_str();
    connection.write(url.request().as_bytes()).await.map_err(|error| failed(&error))?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let len = match connection.read(&mut piece).await {
            Ok(0) => break,
            Ok(len) => len,
            // Not everybody says farewell: whether all is there is seen by the length.
            Err(_) if !answer.is_empty() => break,
            Err(error) => return Err(failed(&error)),
        };
        answer.extend_from_slice(piece.get(..len).unwrap_or_default());
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes").into());
        }
        if is_whole(&answer) {
            break;
        }
    }
    connection.discard();
    Ok(answer)
}

/// What stands before the body.
struct Head {
    code: u16,
    bytes: usize,
    /// How long the body is said to be.
    length: Option<usize>,
}

fn head(answer: &[u8]) -> Result<Option<Head>, Box<str>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer);
    let parsed = parsed.map_err(|error| format!("the answer is not HTTP: {error}"))?;
    let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
    let mut length = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("the answer comes in chunks, which HTTP/1.0 does not have".into());
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = core::str::from_utf8(header.value).unwrap_or_default().trim();
            length = Some(text.parse().map_err(|_| "the answer's length is no number")?);
        }
    }
    Ok(Some(Head { code: response.code.unwrap_or_default(), bytes, length }))
}

fn is_whole(answer: &[u8]) -> bool {
    match head(answer) {
        Ok(Some(Head { bytes, length: Some(length), .. })) => answer.len() - bytes >= length,
        Ok(_) => false,
        // Nothing that comes makes it better.
        Err(_) => true,
    }
}

fn body(answer: &[u8]) -> Result<&str, Box<str>> {
    let Some(Head { code, bytes, length }) = head(answer)? else {
        return Err("the connection ended within the answer's head".into());
    };
    if code != 200 {
        return Err(format!("the answer is {code}").into());
    }
    let body = answer.get(bytes..).unwrap_or_default();
    let body = match length {
        None => body,
        Some(length) => body.get(..length).ok_or("the connection ended within the answer")?,
    };
    core::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".into())
}

fn read_list(text: &str) -> Result<Box<[Endpoint]>, Box<str>> {
    let mut endpoints = Vec::new();
    for entry in text.lines().flat_map(name_servers) {
        match entry {
            Ok(NameServer::Endpoint { host, .. }) if !is_host(host) => {
                return Err(format!("the answer has {host:?} where a host should be").into());
            }
            Ok(NameServer::Endpoint { host, port }) => endpoints.push(Endpoint::new(host, port)),
            Ok(_) => return Err("the answer names an address server".into()),
            Err(invalid) => return Err(format!("the answer's {invalid}").into()),
        }
        if endpoints.len() > ENTRIES_MAX {
            return Err(format!("the answer names more than {ENTRIES_MAX} name servers").into());
        }
    }
    if endpoints.is_empty() { Err("the answer is empty".into()) } else { Ok(endpoints.into()) }
}

/// Not what begins a page about an error, for example.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint_of(url: &str) -> Result<String, Box<str>> {
        Url::parse(url).map(|url| format!("{} {}", url.endpoint, url.path))
    }

    #[test]
    fn urls_are_read() {
        for (url, expected) in [
            ("http://a/rocketmq/nsaddr", "a:80 /rocketmq/nsaddr"),
            ("http://a:8080/x?y=z#w", "a:8080 /x?y=z"),
            ("http://a?y", "a:80 ?y"),
            ("https://a", "a:443 "),
            ("http://[::1]/x", "[::1]:80 /x"),
            ("http://[::1]:81/x:y", "[::1]:81 /x:y"),
        ] {
            assert_eq!(endpoint_of(url).unwrap(), expected, "{url}");
        }
        for (url, expected) in [
            ("http://user:secret@a/", "has a user"),
            ("http://a/x y", "percent-encoded"),
            ("http:///x", "has no host"),
            ("http://a:port/", "has a port"),
            ("http://a\r\nHost: b/", "percent-encoded"),
        ] {
            let error = endpoint_of(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn answers_are_read() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\na:1;[::1]:2\nbeyond";
        assert!(is_whole(good.as_bytes()) && !is_whole(&good.as_bytes()[..45]));
        let list = read_list(body(good.as_bytes()).unwrap()).unwrap();
        assert_eq!(*list, [Endpoint::new("a", 1), Endpoint::new("::1", 2)]);
        let unsized_answer = b"HTTP/1.0 200 OK\r\n\r\na:1\r\nb\r\n";
        assert!(!is_whole(unsized_answer));
        let list = read_list(body(unsized_answer).unwrap()).unwrap();
        assert_eq!(*list, [Endpoint::new("a", 1), Endpoint::new("b", 9_876)]);
        for (answer, expected) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "is 404"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na:1", "ended within the answer"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\na:1", "no number"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na:1", "in chunks"),
            ("HTTP/1.1 200 OK\r\nX: y", "within the answer's head"),
            ("SSH-2.0-x\r\n\r\n", "is not HTTP"),
        ] {
            let error = body(answer.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{answer:?}: {error}");
        }
        for (text, expected) in [
            ("", "is empty"),
            (" \n;", "is empty"),
            ("http://a/", "names an address server"),
            ("<html>", "where a host should be"),
        ] {
            let error = read_list(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let many = "a;".repeat(ENTRIES_MAX + 1);
        assert!(read_list(&many).unwrap_err().contains("more than 256"));
    }
}
