//! Listeners, connections and the clock's task: what a server does, whatever its machine.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use futures_io::{AsyncRead, AsyncWrite};

use turbopump_core::driver::{LinkLimits, run_link};
use turbopump_core::link::CloseReason;
use turbopump_core::time::Clock;

use super::clock::ServerClock;
#[cfg(feature = "tls")]
use super::entrance::{Entered, enter};
use super::hub::{Common, Door, Served, WINDOW_BYTES};
use crate::backend::{Backend, SocketOptions};
use crate::bell::Rung;
#[cfg(feature = "tls")]
use crate::broker::config::TlsConfig;
use crate::end::End;
use crate::net::FuturesIo;
use crate::tasks::kinds;
use crate::within::within;

/// After an error of the listener.
const PAUSE: Duration = Duration::from_millis(50);

/// A machine that is served.
pub(super) struct Serving<M, B: Backend> {
    pub(super) backend: B,
    pub(super) common: Arc<Common<M>>,
    pub(super) clock: ServerClock<B>,
    /// Of everything that nobody waits for any longer.
    pub(super) end: Arc<End>,
    /// Of listeners; connections are inside.
    pub(super) visits: Arc<End>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsConfig>,
}

impl<M: Served, B: Backend> Serving<M, B> {
    /// Listens, and serves whoever comes in tasks of their own.
    pub(super) async fn listen(self: &Arc<Self>, at: SocketAddr) -> io::Result<SocketAddr> {
        let listener = self.backend.listen(at).await?;
        let address = B::local_address(&listener)?;
        let this = Arc::clone(self);
        let ticket = self.end.enter();
        kinds::BROKER_LISTENER.spawn(&self.backend, async move {
            // Left last, when the listener is closed.
            let _ticket = ticket;
            let mut listener = listener;
            let options = SocketOptions::default();
            while let Some(accepted) =
                this.visits.unless_over(B::accept(&mut listener, &options)).await
            {
                match accepted {
                    Ok((reader, writer, peer)) => this.take(reader, writer, peer),
                    // Too many files are open, as a rule: some will be closed.
                    Err(_) => this.backend.sleep_until(this.backend.now() + PAUSE).await,
                }
            }
        });
        Ok(address)
    }

    /// Serves one connection in a task of its own, unless there are too many.
    fn take<R, W>(self: &Arc<Self>, reader: R, writer: W, peer: SocketAddr)
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let now = self.clock.now();
        let Some(id) = self.common.with_machine(|machine| machine.handle_opened(now, peer)) else {
            return;
        };
        let tickets = (self.end.enter(), self.visits.enter());
        // Made here, so that the machine is told even if the task is dropped before it has run.
        let mut session = Session {
            door: Door { common: Arc::clone(&self.common), id },
            clock: self.clock.clone(),
            ended: false,
        };
        let this = Arc::clone(self);
        kinds::BROKER_CONNECTION.spawn(&self.backend, async move {
            let _tickets = tickets;
            // The whole of it, not its fields one by one: dropping it is what counts.
            let session = &mut session;
            let run = this.run(session, reader, writer);
            let ended = this.end.unless_over(run).await;
            session.ended = ended.unwrap_or_default();
        });
    }

    /// Lets a connection in and drives it to its end; whether its machine knows that it has ended.
    async fn run<R, W>(&self, session: &Session<M, B>, reader: R, writer: W) -> bool
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let silent_max = self.common.lock().machine.idle_max();
            let entering = enter(&self.backend, tls, (reader, writer), silent_max);
            match self.visits.unless_over(entering).await.unwrap_or(Entered::Silent) {
                Entered::Plain(reader, writer) => session.drive(reader, writer).await,
                Entered::Secured(reader, writer) => session.drive(reader, writer).await,
                Entered::Silent => return false,
                Entered::Refused(reason) => {
                    let id = session.door.id;
                    self.common.with_machine(|machine| machine.handle_insecure(id, &reason));
                    return false;
                }
            }
            return true;
        }
        session.drive(reader, writer).await;
        true
    }

    /// Takes nothing more, writes what there is to be written, and ends everything; what takes
    /// longer than so is cut off.
    pub(super) async fn stop(&self, time: Duration) {
        let until = self.backend.now() + time;
        self.visits.call();
        self.common.begin_to_stop();
        let settled = self.common.settled.rung_or_at(&self.backend, Some(until));
        settled.await;
        self.common.call_it_over();
        within(&self.backend, until, self.visits.all_have_left()).await;
        self.cut_off();
        self.end.all_have_left().await;
    }

    /// Ends everything at once.
    pub(super) fn cut_off(&self) {
        self.visits.call();
        self.common.call_it_over();
        self.end.call();
        self.common.bell.end();
    }

    /// Runs the machine's timers in a task of its own, until the end.
    pub(super) fn run_clock(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let ticket = self.end.enter();
        kinds::BROKER_CLOCK.spawn(&self.backend, async move {
            let _ticket = ticket;
            loop {
                let until = {
                    let mut hub = this.common.lock();
                    if hub.machine.is_killed() {
                        drop(hub);
                        this.cut_off();
                        break;
                    }
                    hub.sleeps_until = hub.machine.poll_timeout();
                    hub.sleeps_until
                };
                let until = until.and_then(|at| this.clock.system_instant(at));
                let rung = this.common.bell.rung_or_at(&this.backend, until);
                match this.end.unless_over(rung).await {
                    Some(Rung::Come) => {}
                    Some(Rung::Over) | None => break,
                }
                let now = this.clock.now();
                this.common.with_machine(|machine| {
                    if machine.poll_timeout().is_some_and(|at| at <= now.at) {
                        machine.handle_timeout(now);
                    }
                });
            }
        });
    }
}

/// One connection; tells the machine if its task is dropped.
struct Session<M: Served, B: Backend> {
    door: Door<M>,
    clock: ServerClock<B>,
    ended: bool,
}

impl<M: Served, B: Backend> Session<M, B> {
    async fn drive<R, W>(&self, reader: R, writer: W)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut window: Box<[u8]> = vec![0; WINDOW_BYTES].into_boxed_slice();
        let (reader, writer) = (FuturesIo(reader), FuturesIo(writer));
        let limits = LinkLimits::default();
        run_link(&self.door, reader, writer, &mut window, &self.clock, &limits).await;
    }
}

impl<M: Served, B: Backend> Drop for Session<M, B> {
    fn drop(&mut self) {
        if !self.ended {
            let (id, now) = (self.door.id, self.clock.now());
            self.door.common.with_machine(|machine| {
                machine.handle_closed(now, id, CloseReason::Abandoned);
            });
        }
    }
}
