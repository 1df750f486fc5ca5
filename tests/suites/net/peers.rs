//! Servers in threads, with sockets of the standard library.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use socket2::{Domain, SockRef, Socket, Type};
use turbopump_std::backend::{Backend, Endpoint};

/// A server that does the same with each connection; ends with the process.
pub(crate) struct Peer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) fn new(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::at(listener, serve)
    }

    fn at(listener: TcpListener, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&accepted), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, open) = (serve.clone(), Arc::clone(&counts.1));
                counts.0.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(stream.unwrap());
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, accepted, open }
    }

    /// Sends back what it gets.
    pub(crate) fn echo() -> Self {
        Self::new(|mut stream| {
            let mut bytes = [0; 65_536];
            while let Ok(len @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
        })
    }

    /// Takes everything, says nothing.
    pub(crate) fn silent() -> Self {
        Self::new(|mut stream| {
            let mut bytes = [0; 65_536];
            while let Ok(1..) = stream.read(&mut bytes) {}
        })
    }

    /// Sends some bytes and closes.
    pub(crate) fn says(bytes: &'static [u8]) -> Self {
        Self::new(move |mut stream| {
            // Whoever has seen enough may have closed it by then.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            while let Ok(1..) = stream.read(&mut [0; 64]) {}
        })
    }

    /// Resets each connection when the first bytes come.
    pub(crate) fn resets() -> Self {
        Self::new(|mut stream| {
            let _ = stream.read(&mut [0; 64]);
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.address.into()
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until so many connections have been accepted and so many of them are open.
    pub(crate) async fn wait_for<B: Backend>(&self, backend: &B, accepted: usize, open: usize) {
        while self.accepted() < accepted || self.open.load(Ordering::SeqCst) != open {
            backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
    }
}

/// Where nobody listens.
pub(crate) fn refused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Where nobody answers: the queue of a listener that accepts nobody is full.
pub(crate) struct BlackHole {
    address: SocketAddr,
    _held: (Socket, Vec<TcpStream>),
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            queued.push(stream);
        }
        Self { address, _held: (socket, queued) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A time-out that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(50);
