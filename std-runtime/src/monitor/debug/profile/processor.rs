//! Where processor time goes: samples of all threads' stacks by `pprof`, over some seconds.
//!
//! The samples are taken by a signal, the wait is the backend's, and names are looked up where
//! blocking does no harm: a profile holds nobody up. The signal's timer is the process's, which is
//! why there is one profile at a time, whoever asks.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::panic::catch_unwind;
use std::time::{Instant, UNIX_EPOCH};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use http::request;
use pprof::{ProfilerGuard, ProfilerGuardBuilder, Report};

use super::encode::{Builder, Place};
use super::flame::Flame;
use crate::backend::Backend;
use crate::end::End;
use crate::monitor::debug::Events;
use crate::monitor::http::Reply;

/// Samples a second: no round number, so that nothing periodic hides from it.
const SAMPLES_PER_SECOND: i32 = 99;

const SECONDS_DEFAULT: u64 = 30;
const SECONDS_MAX: u64 = 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    seconds: u64,
    is_flame: bool,
}

/// Reads the query. What is not known is none of our business.
fn wish(query: &str) -> Result<Wish, String> {
    let mut wish = Wish { seconds: SECONDS_DEFAULT, is_flame: false };
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("seconds", value) => match value.parse() {
                Ok(seconds @ 1..=SECONDS_MAX) => wish.seconds = seconds,
                _ => return Err(format!("seconds must be 1 to {SECONDS_MAX}\n")),
            },
            ("format", "proto") => wish.is_flame = false,
            ("format", "flamegraph") => wish.is_flame = true,
            ("format", _) => return Err("format must be proto or flamegraph\n".into()),
            _ => {}
        }
    }
    Ok(wish)
}

/// The right to profile.
struct Turn;

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    fn take() -> Option<Self> {
        // Made only where it is ours: dropping one gives the right back.
        (!IS_TAKEN.swap(true, Ordering::AcqRel)).then(|| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

/// A profile that is being taken. The profiler stops before the turn ends: in this order.
struct Taking {
    guard: ProfilerGuard<'static>,
    _turn: Turn,
}

impl Taking {
    fn begin(turn: Turn) -> Result<Self, pprof::Error> {
        // Without these, unwinding could take a lock that the interrupted thread holds.
        let blocked = ["libc", "libgcc", "pthread", "vdso"];
        let builder = ProfilerGuardBuilder::default().frequency(SAMPLES_PER_SECOND);
        Ok(Self { guard: builder.blocklist(&blocked).build()?, _turn: turn })
    }
}

/// Takes a profile. It ends early, without an answer, with the connection or the monitor.
pub(in super::super) async fn processor<B: Backend>(
    backend: &B,
    end: &End,
    events: &Events,
    request: &request::Parts,
    is_head: bool,
) -> Reply {
    let wish = match wish(request.uri.query().unwrap_or_default()) {
        Ok(wish) => wish,
        Err(why) => return Reply::text(why).with_status(400),
    };
    if is_head {
        // Nobody waits for what is not sent.
        return Reply::new(content_type(wish), []);
    }
    let Some(turn) = Turn::take() else {
        let why = format!("a profile is being taken; come back within {SECONDS_MAX} seconds\n");
        return Reply::text(why).with_status(409);
    };
    let taking = match Taking::begin(turn) {
        Ok(taking) => taking,
        Err(error) => return failed(&format!("{error}")),
    };
    events.note("profile", format!("of the processor, {} seconds", wish.seconds));
    let until = Instant::now() + Duration::from_secs(wish.seconds);
    if end.unless_over(backend.sleep_until(until)).await.is_none() {
        return Reply::text("the monitor has ended\n").with_status(503);
    }
    // A plain reply comes back: Rust 1.88 can't prove this future `Send` over what panics carry.
    let made = backend.run_blocking(move || {
        // The whole of it, so that it ends here.
        let taking = taking;
        catch_unwind(AssertUnwindSafe(|| read(&taking.guard, wish)))
            .unwrap_or_else(|_| failed("looking up names has panicked"))
    });
    made.await
}

fn failed(why: &str) -> Reply {
    Reply::text(format!("the profile failed: {why}\n")).with_status(500)
}

const fn content_type(wish: Wish) -> &'static str {
    if wish.is_flame { "image/svg+xml" } else { "application/octet-stream" }
}

fn read(guard: &ProfilerGuard<'_>, wish: Wish) -> Reply {
    match guard.report().build() {
        Ok(report) if wish.is_flame => Reply::new(content_type(wish), flame(&report)),
        Ok(report) => proto(&report),
        Err(error) => failed(&format!("{error}")),
    }
}

fn proto(report: &Report) -> Reply {
    let timing = &report.timing;
    let began = timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut profile =
        Builder::new(&[("samples", "count"), ("cpu", "nanoseconds")], began.as_millis() as u64);
    profile.look_at("cpu");
    let period = 1_000_000_000 / i64::from(timing.frequency.max(1));
    let duration = i64::try_from(timing.duration.as_nanos()).unwrap_or(i64::MAX);
    profile.period(duration, "cpu", "nanoseconds", period);
    for (stack, count) in &report.data {
        let names: Vec<_> = stack
            .frames
            .iter()
            .flatten()
            .map(|symbol| (symbol.name(), symbol.filename(), symbol.lineno.unwrap_or(0)))
            .collect();
        let places =
            names.iter().map(|(function, file, line)| Place { function, file, line: *line });
        let count = *count as i64;
        let values = [count, count.saturating_mul(period)];
        profile.sample_at(places, &values, &[("thread", &stack.thread_name_or_id())]);
    }
    profile.reply()
}

fn flame(report: &Report) -> String {
    let mut flame = Flame::default();
    for (stack, count) in &report.data {
        let names: Vec<_> = stack.frames.iter().flatten().map(pprof::Symbol::name).collect();
        let thread = stack.thread_name_or_id();
        let from_root = names.iter().rev().map(String::as_str);
        flame.add(core::iter::once(thread.as_str()).chain(from_root), *count as u64);
    }
    flame.draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_limits_are_named() {
        let of = |seconds, is_flame| Ok(Wish { seconds, is_flame });
        assert_eq!(wish(""), of(30, false));
        assert_eq!(wish("seconds=60&format=flamegraph"), of(60, true));
        assert_eq!(wish("debug=1&format=proto&seconds=1"), of(1, false));
        for wrong in ["seconds=", "seconds", "seconds=0", "seconds=61", "seconds=-1", "seconds=x"] {
            assert_eq!(wish(wrong), Err("seconds must be 1 to 60\n".into()), "{wrong}");
        }
        assert!(wish("format=svg").is_err());
    }
}
