//! `turbopump load`: sends messages as fast as it can, and says what that costs.

mod arguments;

use alloc::sync::Arc;
use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use turbopump::core::stats::{Distribution, LatencyHistogram};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{
    Batching, Client, ClientConfig, Message, Producer, ProducerConfig,
};
use turbopump::runtime::memory::ObjectPool;

use crate::allocations;
use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::switch::{Switch, stop_at_ctrl_c};
use crate::watch;

pub(crate) use arguments::{LoadArguments, Way};

/// What it amounts to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Messages that brokers have taken, of those that are measured.
    sent: u64,
    failed: u64,
    requests: u64,
    seconds: f64,
    messages_per_second: f64,
    /// Of this process, for a million messages; none where the system does not say.
    cpu_seconds_per_million: Option<f64>,
    allocations_per_message: f64,
    latency_us: Quantiles,
    /// The first message, from connecting on.
    first_message_ms: f64,
    memory_peak_kib: Option<u64>,
    /// Why the first of those that failed did.
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
}

pub(crate) fn run(arguments: &LoadArguments) -> Result<Ended, Box<dyn Error>> {
    let stop = stop_at_ctrl_c()?;
    let summary = match arguments.backend {
        BackendName::Tokio => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(arguments.threads.into()).enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            let load = load(backend, arguments.clone(), stop);
            // On a worker, as a program's own tasks are.
            runtime.block_on(async { tokio::spawn(load).await })?
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(smol::spawn(load(backend, arguments.clone(), stop)))
        }
    };
    let summary = summary.map_err(|error| -> Box<dyn Error> { error })?;
    let text = if arguments.json { serde_json::to_string(&summary)? } else { describe(&summary) };
    // Whoever has read enough closes the pipe; that is no failure.
    let _ = writeln!(io::stdout().lock(), "{text}");
    if let Some(error) = &summary.error {
        eprintln!("turbopump: {} messages were not sent; the first: {error}", summary.failed);
        return Ok(Ended::Badly);
    }
    Ok(Ended::Well)
}

/// What the callers share.
struct Load<B: Backend> {
    producer: Producer<B>,
    topic: String,
    body: Bytes,
    pool: ObjectPool<Message>,
    batch: usize,
    /// Messages that nobody has taken on yet.
    left: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    requests: AtomicU64,
    first_error: Mutex<Option<String>>,
    latency_us: Mutex<LatencyHistogram>,
}

async fn load<B: Backend>(
    backend: B,
    arguments: LoadArguments,
    stop: Arc<Switch>,
) -> Result<Summary, Box<dyn Error + Send + Sync>> {
    let begin = Instant::now();
    let mut config = ClientConfig::new(&arguments.namesrv);
    let callers = arguments.callers();
    config.in_flight_messages_max = callers as usize * 10_000;
    // What waits behind a thousand others may wait long on a small machine.
    config.send.timeout_us = 30_000_000;
    let client = Client::start(backend.clone(), config).await.map_err(|error| error.to_string())?;
    let mut settings = ProducerConfig::default();
    if arguments.way == Way::Automatic {
        let mut batching = Batching { linger_us: arguments.linger_us, ..Batching::default() };
        batching.messages_max = arguments.batch.unwrap_or(batching.messages_max);
        settings.batching = Some(batching);
    }
    let producer = client.producer_with("turbopump-load", settings)?;
    let runtime = arguments.backend;
    let (address, register) = (arguments.monitor.0, watch::producer(&producer));
    let monitor = watch::start(backend.clone(), runtime, address, &client, register);
    let monitor = monitor.await.map_err(|error| error.to_string())?;
    let body = Bytes::from(vec![b'x'; arguments.bytes as usize]);
    let first = Message::new(arguments.topic.clone(), body.clone());
    producer.send(first).await.map_err(|error| error.to_string())?;
    let first_message_ms = begin.elapsed().as_secs_f64() * 1_000.0;
    let batch = match arguments.way {
        Way::Batch => arguments.batch.unwrap_or(32) as usize,
        _ => 1,
    };
    let load = Arc::new(Load {
        producer,
        topic: arguments.topic,
        body,
        pool: ObjectPool::new(callers as usize, Message::default, Message::clear)?,
        batch,
        left: AtomicU64::new(arguments.warm_up),
        sent: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        first_error: Mutex::default(),
        latency_us: Mutex::new(LatencyHistogram::new()),
    });
    run_all(&backend, &load, callers, &stop).await;
    load.reset(arguments.messages);
    let (begin, cpu, allocated) = (Instant::now(), cpu_seconds(), allocations::count());
    run_all(&backend, &load, callers, &stop).await;
    let elapsed = begin.elapsed();
    let (cpu_after, allocated) = (cpu_seconds(), allocations::count() - allocated);
    client.close().await;
    monitor.stop().await;
    let mut summary = load.summary(elapsed);
    let per_message = |value: f64| value / (summary.sent.max(1) as f64);
    let cpu = cpu.zip(cpu_after).map(|(before, after)| per_message(after - before) * 1e6);
    (summary.cpu_seconds_per_million, summary.first_message_ms) = (cpu, first_message_ms);
    summary.allocations_per_message = per_message(allocated as f64);
    summary.memory_peak_kib = memory_peak_kib();
    Ok(summary)
}

/// Lets the callers go, and waits for all of them.
async fn run_all<B: Backend>(backend: &B, load: &Arc<Load<B>>, callers: u32, stop: &Arc<Switch>) {
    let ended = Arc::new(Switch::default());
    let running = Arc::new(AtomicU64::new(callers.into()));
    for _ in 0..callers {
        let (load, stop) = (Arc::clone(load), Arc::clone(stop));
        let (ended, running) = (Arc::clone(&ended), Arc::clone(&running));
        backend.spawn(async move {
            load.call(&stop).await;
            if running.fetch_sub(1, Ordering::SeqCst) == 1 {
                ended.turn_off();
            }
        });
    }
    ended.unless_off(core::future::pending::<()>()).await;
}

impl<B: Backend> Load<B> {
    fn reset(&self, messages: u64) {
        self.left.store(messages, Ordering::SeqCst);
        for count in [&self.sent, &self.failed, &self.requests] {
            count.store(0, Ordering::SeqCst);
        }
        *self.latency() = LatencyHistogram::new();
    }

    fn latency(&self) -> std::sync::MutexGuard<'_, LatencyHistogram> {
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many on, or fewer where fewer are left.
    fn take(&self, wanted: u64) -> u64 {
        let took = |left: u64| Some(left.saturating_sub(wanted));
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took);
        before.unwrap_or(0).min(wanted)
    }

    /// One caller: sends until nothing is left.
    async fn call(&self, stop: &Switch) {
        let mut latency_us = LatencyHistogram::new();
        let one = || Message::new(self.topic.clone(), self.body.clone());
        let batch: Vec<Message> = match self.batch {
            1 => Vec::new(),
            many => (0..many).map(|_| one()).collect(),
        };
        while !stop.is_off() {
            let messages = self.take(self.batch as u64);
            if messages == 0 {
                break;
            }
            let begin = Instant::now();
            let sent = match batch.get(..messages as usize) {
                Some(batch) if !batch.is_empty() => {
                    self.producer.send_batch(batch).await.map(|_| ())
                }
                _ => self.send_one().await,
            };
            latency_us.observe(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
            self.requests.fetch_add(1, Ordering::Relaxed);
            match sent {
                Ok(()) => self.sent.fetch_add(messages, Ordering::Relaxed),
                Err(error) => {
                    let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert_with(|| error.to_string());
                    self.failed.fetch_add(messages, Ordering::Relaxed)
                }
            };
        }
        self.latency().merge(&latency_us);
    }

    async fn send_one(&self) -> Result<(), turbopump::runtime::client::SendError> {
        let sent = match self.pool.get() {
            Ok(mut message) => {
                message.set_topic(&self.topic);
                message.set_body(self.body.clone());
                self.producer.send(message).await
            }
            Err(_) => {
                let message = Message::new(self.topic.clone(), self.body.clone());
                self.producer.send(message).await
            }
        };
        sent.map(|_| ())
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let latency = self.latency();
        let quantile = |share: f64| latency.quantile(share).unwrap_or(0.0) as u64;
        let sent = self.sent.load(Ordering::SeqCst);
        let batches: u64 =
            self.producer.batch_stats().iter().map(|lane| lane.counters.batches.get()).sum();
        let requests = if batches > 0 { batches } else { self.requests.load(Ordering::SeqCst) };
        Summary {
            sent,
            failed: self.failed.load(Ordering::SeqCst),
            requests,
            seconds: elapsed.as_secs_f64(),
            messages_per_second: sent as f64 / elapsed.as_secs_f64().max(1e-9),
            latency_us: Quantiles {
                p50: quantile(0.5),
                p99: quantile(0.99),
                p999: quantile(0.999),
            },
            error: self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Summary::default()
        }
    }
}

/// Time on processors, of this process.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may have anything in it: user and system time in ticks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Of Linux, to programs.
const TICKS_PER_SECOND: f64 = 100.0;

fn memory_peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn describe(summary: &Summary) -> String {
    let Summary { sent, failed, requests, seconds, messages_per_second, .. } = summary;
    let unknown = || String::from("unknown");
    let cpu = summary.cpu_seconds_per_million.map_or_else(unknown, |cpu| format!("{cpu:.2} s"));
    let memory = summary.memory_peak_kib.map_or_else(unknown, |kib| format!("{} MiB", kib / 1_024));
    let Quantiles { p50, p99, p999 } = summary.latency_us;
    format!(
        "{sent} messages in {requests} requests within {seconds:.2} s: \
         {messages_per_second:.0} a second; {failed} failed\n\
         processor time for a million   {cpu}\n\
         allocations for each message   {:.4}\n\
         latency in us                  p50 {p50}  p99 {p99}  p99.9 {p999}\n\
         first message after            {:.1} ms\n\
         memory at most                 {memory}",
        summary.allocations_per_message, summary.first_message_ms
    )
}
