//! Lists of name servers, as users write them.

use core::fmt;

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameServer<'a> {
    /// A name or an address, without brackets, and a port.
    Endpoint {
        /// The name or address.
        host: &'a str,
        /// The port.
        port: u16,
    },
    /// Where the list itself is to be fetched from, by HTTP.
    AddressServer {
        /// `http://...` or `https://...`.
        url: &'a str,
    },
}

/// The entries of a list; see [`name_servers`].
#[derive(Clone, Debug)]
pub struct NameServers<'a> {
    rest: Option<&'a str>,
}

/// Cuts a list at `;` and `,`. Empty entries and white space around entries mean nothing; IPv6
/// addresses are in brackets; without a port it is 9876.
///
/// ```
/// use turbopump_core::rocketmq::client::{NameServer, name_servers};
///
/// let mut list = name_servers("ns-1:9876; [::1]:9877");
/// assert_eq!(list.next(), Some(Ok(NameServer::Endpoint { host: "ns-1", port: 9_876 })));
/// assert_eq!(list.next(), Some(Ok(NameServer::Endpoint { host: "::1", port: 9_877 })));
/// assert_eq!(list.next(), None);
/// ```
#[must_use]
pub const fn name_servers(list: &str) -> NameServers<'_> {
    NameServers { rest: Some(list) }
}

impl<'a> Iterator for NameServers<'a> {
    type Item = Result<NameServer<'a>, InvalidNameServer<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let (entry, rest) = match rest.split_once([';', ',']) {
                Some((entry, rest)) => (entry, Some(rest)),
                None => (rest, None),
            };
            self.rest = rest;
            let entry = entry.trim();
            if !entry.is_empty() {
                return Some(parse(entry));
            }
        }
    }
}

/// Where none is written.
const PORT: u16 = 9_876;

fn parse(entry: &str) -> Result<NameServer<'_>, InvalidNameServer<'_>> {
    let invalid = |reason| InvalidNameServer { entry, reason };
    for scheme in ["http://", "https://"] {
        if let Some(rest) = entry.strip_prefix(scheme) {
            return match rest.is_empty() {
                true => Err(invalid("has nothing behind its scheme")),
                false => Ok(NameServer::AddressServer { url: entry }),
            };
        }
    }
    if entry.contains("://") {
        return Err(invalid("has a scheme that is neither http nor https"));
    }
    if entry.contains(char::is_whitespace) {
        return Err(invalid("has a space in it; separate name servers by `;`"));
    }
    if let Some(rest) = entry.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(|| invalid("lacks a `]`"))?;
        if host.parse::<core::net::Ipv6Addr>().is_err() {
            return Err(invalid("has something else than an IPv6 address in brackets"));
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port_of(port, invalid)?,
            None if port.is_empty() => PORT,
            None => return Err(invalid("has something behind its `]` that is no port")),
        };
        return Ok(NameServer::Endpoint { host, port });
    }
    let (host, port) = match entry.split_once(':') {
        None => (entry, PORT),
        Some((_, port)) if port.contains(':') => {
            return Err(invalid("needs brackets around its IPv6 address"));
        }
        Some((host, port)) => (host, port_of(port, invalid)?),
    };
    if host.is_empty() {
        return Err(invalid("has no host"));
    }
    Ok(NameServer::Endpoint { host, port })
}

fn port_of<'a>(
    port: &str,
    invalid: impl Fn(&'static str) -> InvalidNameServer<'a>,
) -> Result<u16, InvalidNameServer<'a>> {
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(invalid("has a port that is not 1 to 65535")),
    }
}

/// An entry that is no name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNameServer<'a> {
    /// What is written.
    pub entry: &'a str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for InvalidNameServer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, reason } = self;
        write!(f, "name server {entry:?} {reason}; write HOST:PORT, [IPV6]:PORT or http://...")
    }
}

impl core::error::Error for InvalidNameServer<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_as_they_are_meant() {
        let endpoint = |host, port| Ok(NameServer::Endpoint { host, port });
        let cases: [(&str, &[Result<NameServer<'_>, &str>]); 9] = [
            ("", &[]),
            (" ;, ;", &[]),
            ("127.0.0.1:9876", &[endpoint("127.0.0.1", 9_876)]),
            ("a:1;b:2,c", &[endpoint("a", 1), endpoint("b", 2), endpoint("c", 9_876)]),
            (" ns.example:65535 ;", &[endpoint("ns.example", 65_535)]),
            ("[::1]:9876;[fe80::1]", &[endpoint("::1", 9_876), endpoint("fe80::1", 9_876)]),
            (
                "http://a/rocketmq/nsaddr;b:1",
                &[
                    Ok(NameServer::AddressServer { url: "http://a/rocketmq/nsaddr" }),
                    endpoint("b", 1),
                ],
            ),
            (
                "::1:9876;:1;a:0;a:x;a:65536;ftp://a",
                &[
                    Err("needs brackets around its IPv6 address"),
                    Err("has no host"),
                    Err("has a port that is not 1 to 65535"),
                    Err("has a port that is not 1 to 65535"),
                    Err("has a port that is not 1 to 65535"),
                    Err("has a scheme that is neither http nor https"),
                ],
            ),
            (
                "[a]:1;[::1;[::1]1;a b:1;https://",
                &[
                    Err("has something else than an IPv6 address in brackets"),
                    Err("lacks a `]`"),
                    Err("has something behind its `]` that is no port"),
                    Err("has a space in it; separate name servers by `;`"),
                    Err("has nothing behind its scheme"),
                ],
            ),
        ];
        for (list, expected) in cases {
            let found = name_servers(list).map(|entry| entry.map_err(|error| error.reason));
            assert!(found.eq(expected.iter().copied()), "{list}");
        }
    }
}
