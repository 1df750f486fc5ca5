//! Tells name servers that stand apart where this broker is: at once, on each change of its topics,
//! and every 30 seconds.
//!
//! One task a name server, with a connection that stays open, because name servers forget a broker
//! whose connection is lost. What is said is decided by
//! [`Broker::registration`](crate::broker::machine::Broker::registration).

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use futures_io::{AsyncRead, AsyncWrite};

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::frame::Frame;

use super::listener::Serving;
use crate::backend::{Backend, Endpoint, SocketOptions};
use crate::bell::Rung;
use crate::broker::machine::{Broker, REGISTER_PERIOD};
use crate::tasks::kinds;
use crate::within::within;

/// To look up, dial, encrypt, or wait for one answer.
const STEP_WITHIN: Duration = Duration::from_secs(3);
/// To say that the broker ends.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
/// Between two attempts: doubled each time, with a random part.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Answers are a header and a short body of settings.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Starts a task for each name server of the settings.
pub(super) fn start<B: Backend>(serving: &Arc<Serving<Broker, B>>) {
    let (name_servers, seed) = serving
        .common
        .with_machine(|machine| (machine.config().register_at.clone(), machine.config().seed));
    for (number, name_server) in name_servers.into_iter().enumerate() {
        let ticket = serving.end.enter();
        let mut registrar = Registrar {
            serving: Arc::clone(serving),
            number,
            name_server,
            opaque: 0,
            random: SplitMix64::new(seed.wrapping_add(number as u64)),
        };
        kinds::BROKER_REGISTRAR.spawn(&serving.backend, async move {
            let _ticket = ticket;
            registrar.run().await;
        });
    }
}

type Connection = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

struct Registrar<B: Backend> {
    serving: Arc<Serving<Broker, B>>,
    /// Of its bell.
    number: usize,
    name_server: Endpoint,
    opaque: i32,
    random: SplitMix64,
}

impl<B: Backend> Registrar<B> {
    async fn run(&mut self) {
        let end = Arc::clone(&self.serving.visits);
        let mut pause = PAUSE;
        // Only changes are told, or a name server that is away would fill the notices.
        let mut was_well = None;
        loop {
            let mut talk = None;
            let outcome = end.unless_over(self.stay_registered(&mut talk, &mut was_well)).await;
            let Some(Err(reason)) = outcome else {
                if let Some(mut talk) = talk {
                    self.say_farewell(&mut talk).await;
                }
                return;
            };
            if was_well == Some(true) {
                pause = PAUSE;
            }
            if was_well != Some(false) {
                was_well = Some(false);
                self.note(Some(reason));
            }
            let random = self.random.below(u64::try_from(pause.as_micros()).unwrap_or(1).max(1));
            let until = self.serving.backend.now() + pause + Duration::from_micros(random);
            if end.unless_over(self.serving.backend.sleep_until(until)).await.is_none() {
                return;
            }
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Connects and registers for as long as that works; says why it doesn't.
    async fn stay_registered(
        &mut self,
        place: &mut Option<Talk>,
        was_well: &mut Option<bool>,
    ) -> Result<(), String> {
        let talk = place.insert(Talk { connection: self.connect().await?, received: Vec::new() });
        loop {
            let serving = Arc::clone(&self.serving);
            let registration = serving.common.with_machine(|machine| machine.registration());
            let frame =
                registration.frame(self.next_opaque()).map_err(|error| error.to_string())?;
            self.ask(talk, &frame).await?;
            if was_well.replace(true) != Some(true) {
                self.note(None);
            }
            let bell = serving.common.registrars.get(self.number);
            let Some(bell) = bell else { return Ok(()) };
            let again = Some(self.serving.backend.now() + REGISTER_PERIOD);
            let rung = pin!(bell.rung_or_at(&serving.backend, again));
            let closed = pin!(talk.unasked());
            if let Either::Closed(reason) = either(rung, closed).await {
                return Err(reason);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let backend = &self.serving.backend;
        let until = self.serving.backend.now() + STEP_WITHIN;
        let dialed = within(backend, until, async {
            let address = match self.name_server.socket_address() {
                Some(address) => address,
                None => {
                    let (host, port) = (self.name_server.host(), self.name_server.port());
                    let found = backend.resolve(host, port).await?;
                    let none = || io::Error::new(io::ErrorKind::NotFound, "has no address");
                    found.first().copied().ok_or_else(none)?
                }
            };
            backend.dial(address, &SocketOptions::default()).await
        });
        let (reader, writer) = match dialed.await {
            Some(Ok(halves)) => halves,
            Some(Err(error)) => return Err(format!("can't be reached: {error}")),
            None => return Err("can't be reached: it does not answer".into()),
        };
        #[cfg(feature = "tls")]
        {
            let tls =
                self.serving.common.with_machine(|machine| machine.config().register_tls.clone());
            if let Some(tls) = tls {
                let (host, until) =
                    (self.name_server.host(), self.serving.backend.now() + STEP_WITHIN);
                let secured = tls.connect(backend, host, (reader, writer), until).await;
                let (reader, writer) = secured.map_err(|error| error.to_string())?;
                return Ok((Box::new(reader), Box::new(writer)));
            }
        }
        Ok((Box::new(reader), Box::new(writer)))
    }

    async fn ask(&self, talk: &mut Talk, frame: &[u8]) -> Result<(), String> {
        let until = self.serving.backend.now() + STEP_WITHIN;
        let asked = within(&self.serving.backend, until, talk.ask(frame, self.opaque));
        asked.await.unwrap_or_else(|| Err("does not answer".into()))
    }

    async fn say_farewell(&mut self, talk: &mut Talk) {
        let registration = self.serving.common.with_machine(|machine| machine.registration());
        let Ok(frame) = registration.farewell(self.next_opaque()) else { return };
        let until = self.serving.backend.now() + FAREWELL_WITHIN;
        // It finds out by itself if it is not told.
        let _ = within(&self.serving.backend, until, talk.ask(&frame, self.opaque)).await;
    }

    const fn next_opaque(&mut self) -> i32 {
        self.opaque = self.opaque.wrapping_add(1);
        self.opaque
    }

    fn note(&self, failure: Option<String>) {
        let name_server = self.name_server.to_string();
        self.serving.common.with_machine(|machine| machine.handle_registered(name_server, failure));
    }
}

/// One connection to a name server; what was received of the next frame.
struct Talk {
    connection: Connection,
    received: Vec<u8>,
}

impl Talk {
    /// Sends a request and waits for its answer, which has to be a success.
    async fn ask(&mut self, frame: &[u8], opaque: i32) -> Result<(), String> {
        let mut rest = frame;
        let writer = &mut self.connection.1;
        while !rest.is_empty() {
            let written = poll_fn(|cx| Pin::new(&mut *writer).poll_write(cx, rest)).await;
            match written.map_err(|error| error.to_string())? {
                0 => return Err("takes nothing more".into()),
                written => rest = rest.get(written..).unwrap_or_default(),
            }
        }
        let flushed = poll_fn(|cx| Pin::new(&mut *writer).poll_flush(cx)).await;
        flushed.map_err(|error| error.to_string())?;
        loop {
            let answer = self.next_frame().await?;
            let frame = Frame::decode(&answer).map_err(|error| error.to_string())?;
            if !frame.header.is_response() || frame.header.opaque != opaque {
                continue;
            }
            if frame.header.code == 0 {
                return Ok(());
            }
            let remark = frame.header.remark.map(|remark| remark.to_string());
            let remark = remark.unwrap_or_else(|| "without a reason".into());
            return Err(format!("refuses with code {}: {remark}", frame.header.code));
        }
    }

    /// Waits until the connection ends; what a name server says of its own accord is for others.
    async fn unasked(&mut self) -> String {
        loop {
            if let Err(reason) = self.next_frame().await {
                return reason;
            }
        }
    }

    /// Cancel-safe: what was received is kept.
    async fn next_frame(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(prefix) = self.received.first_chunk::<4>() {
                let len = (u32::from_be_bytes(*prefix) as usize).saturating_add(4);
                if len > ANSWER_BYTES_MAX {
                    return Err(format!("sends a frame of {len} bytes, which is no answer"));
                }
                if self.received.len() >= len {
                    let rest = self.received.split_off(len);
                    return Ok(core::mem::replace(&mut self.received, rest));
                }
            }
            let mut buffer = [0; 1_024];
            let reader = &mut self.connection.0;
            let read = poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, &mut buffer)).await;
            match read.map_err(|error| error.to_string())? {
                0 => return Err("has closed the connection".into()),
                read => self.received.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            }
        }
    }
}

enum Either {
    /// It is time to register again.
    Again,
    Closed(String),
}

async fn either(
    mut rung: Pin<&mut impl Future<Output = Rung>>,
    mut closed: Pin<&mut impl Future<Output = String>>,
) -> Either {
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(reason) = closed.as_mut().poll(cx) {
            return Poll::Ready(Either::Closed(reason));
        }
        rung.as_mut().poll(cx).map(|_| Either::Again)
    })
    .await
}
