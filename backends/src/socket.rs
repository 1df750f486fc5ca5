//! Socket options, and names, by the operating system's own means.

use ::core::net::SocketAddr;
use alloc::boxed::Box;
use alloc::string::String;
use std::io;
use std::net::ToSocketAddrs;

use socket2::{SockRef, TcpKeepalive};
use turbopump_std::backend::SocketOptions;

/// Sets what `options` say.
pub(crate) fn set_options(socket: SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    if options.no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    match options.keep_alive {
        Some(time) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time)),
        None => Ok(()),
    }
}

/// Looks up a name; blocks.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Box<[SocketAddr]>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// What [`resolve`] is called with on another thread.
pub(crate) fn owned(host: &str) -> String {
    String::from(host)
}
