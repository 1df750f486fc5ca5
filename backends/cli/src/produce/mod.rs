//! `turbopump produce`: sends what it reads.

mod arguments;
mod input;

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{Client, Message, Producer, SendError};

use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::switch::{Switch, stop_at_ctrl_c};
use crate::watch;

pub(crate) use arguments::ProduceArguments;
use input::Input;

/// Bytes of a batch: what brokers take is measured with some room for what goes with each message.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What it amounts to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Messages that brokers have taken.
    sent: u64,
    /// Their bytes.
    bytes: u64,
    /// Requests.
    requests: u64,
    seconds: f64,
    messages_per_second: f64,
    /// Stopped by the user.
    is_interrupted: bool,
    /// Why it has ended early.
    error: Option<String>,
}

pub(crate) fn run(arguments: &ProduceArguments) -> Result<Ended, Box<dyn Error>> {
    let stop = stop_at_ctrl_c()?;
    let summary = match arguments.client.backend {
        BackendName::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            runtime.block_on(produce(backend, arguments, &stop))?
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(produce(backend, arguments, &stop))?
        }
    };
    let text =
        if arguments.client.json { serde_json::to_string(&summary)? } else { describe(&summary) };
    // Whoever has read enough closes the pipe; that is no failure.
    let _ = writeln!(io::stdout().lock(), "{text}");
    if let Some(error) = &summary.error {
        eprintln!("turbopump: {error}");
        return Ok(Ended::Badly);
    }
    Ok(Ended::Well)
}

async fn produce<B: Backend>(
    backend: B,
    arguments: &ProduceArguments,
    stop: &Arc<Switch>,
) -> Result<Summary, Box<dyn Error>> {
    let mut input = Input::open(arguments.file.as_deref(), arguments.length_prefixed)?;
    let template = template(arguments)?;
    let mut config = arguments.client.settings()?;
    if let Some(bytes) = arguments.compress_from {
        config.compress_from_bytes = bytes;
    }
    let compress_from = config.compress_from_bytes;
    let client = Client::start(backend.clone(), config).await?;
    let producer = client.producer_with(&arguments.group, arguments.client.producer_settings()?)?;
    let (runtime, address) = (arguments.client.backend, arguments.monitor.0);
    let register = watch::producer(&producer);
    let monitor = watch::start(backend.clone(), runtime, address, &client, register).await?;
    let mut sender = Sender {
        producer,
        arguments,
        compress_from,
        batch: Vec::new(),
        batch_bytes: 0,
        bar: bar(),
    };
    let (mut summary, begin) = (Summary::default(), Instant::now());
    let mut read = 0_u64;
    let outcome = loop {
        if stop.is_off() {
            summary.is_interrupted = true;
            break sender.flush(&mut summary).await;
        }
        if !input.is_ready()
            && let Err(error) = sender.flush(&mut summary).await
        {
            break Err(error);
        }
        let body = match input.next() {
            Ok(Some(body)) => body,
            Ok(None) => break sender.flush(&mut summary).await,
            Err(error) => {
                let error = error.to_string();
                break sender.flush(&mut summary).await.and(Err(error));
            }
        };
        if let Some(rate) = arguments.rate {
            let at = Duration::from_secs_f64(read as f64 / f64::from(rate));
            if begin.elapsed() < at {
                // What has come meanwhile is not held back.
                if let Err(error) = sender.flush(&mut summary).await {
                    break Err(error);
                }
                stop.unless_off(backend.sleep_until(begin + at)).await;
            }
        }
        read += 1;
        if let Err(error) = sender.take(&template, body, &mut summary).await {
            break Err(error);
        }
    };
    summary.error = outcome.err();
    summary.seconds = begin.elapsed().as_secs_f64();
    if summary.seconds > 0.0 {
        summary.messages_per_second = summary.sent as f64 / summary.seconds;
    }
    sender.bar.finish_and_clear();
    client.close().await;
    monitor.stop().await;
    Ok(summary)
}

/// Collects messages, and sends them.
struct Sender<'a, B: Backend> {
    producer: Producer<B>,
    arguments: &'a ProduceArguments,
    /// From so many bytes on, a message is sent by itself.
    compress_from: usize,
    batch: Vec<Message>,
    batch_bytes: usize,
    bar: ProgressBar,
}

impl<B: Backend> Sender<'_, B> {
    async fn take(
        &mut self,
        template: &Template,
        body: Vec<u8>,
        summary: &mut Summary,
    ) -> Result<(), String> {
        let bytes = body.len();
        let message = template.message(&self.arguments.topic, body);
        if let Some(key) = &self.arguments.ordering_key {
            let sent = self.producer.send_ordered(message, key).await;
            return self.count(1, bytes, sent.map(|_| ()), summary);
        }
        let is_alone = self.arguments.batch == 1 || bytes >= self.compress_from;
        let is_full = self.batch_bytes + bytes > BATCH_BYTES_MAX;
        if is_alone || is_full {
            self.flush(summary).await?;
        }
        if is_alone {
            let sent = self.producer.send(message).await;
            return self.count(1, bytes, sent.map(|_| ()), summary);
        }
        self.batch.push(message);
        self.batch_bytes += bytes;
        if self.batch.len() >= self.arguments.batch as usize {
            self.flush(summary).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, summary: &mut Summary) -> Result<(), String> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let sent = self.producer.send_batch(&self.batch).await;
        let (messages, bytes) = (self.batch.len() as u64, self.batch_bytes);
        self.batch.clear();
        self.batch_bytes = 0;
        self.count(messages, bytes, sent.map(|_| ()), summary)
    }

    fn count(
        &self,
        messages: u64,
        bytes: usize,
        sent: Result<(), SendError>,
        summary: &mut Summary,
    ) -> Result<(), String> {
        summary.requests += 1;
        if let Err(error) = sent {
            let (first, last) = (summary.sent + 1, summary.sent + messages);
            let which = match messages {
                1 => format!("message {first} was not sent"),
                _ => format!("messages {first} to {last} were not sent"),
            };
            let doubt = if error.maybe_sent() { "; it may have arrived all the same" } else { "" };
            return Err(format!("{which}: {error}{doubt}"));
        }
        summary.sent += messages;
        summary.bytes += bytes as u64;
        self.bar.set_position(summary.sent);
        Ok(())
    }
}

/// What all messages have.
struct Template {
    tag: Option<String>,
    keys: Vec<String>,
    properties: Vec<(String, String)>,
}

impl Template {
    fn message(&self, topic: &str, body: Vec<u8>) -> Message {
        let mut message = Message::new(topic.to_owned(), body);
        if let Some(tag) = &self.tag {
            message = message.tag(tag);
        }
        for key in &self.keys {
            message = message.key(key);
        }
        for (name, value) in &self.properties {
            message = message.property(name, value);
        }
        message
    }
}

fn template(arguments: &ProduceArguments) -> Result<Template, String> {
    let mut properties = Vec::new();
    for property in &arguments.property {
        let (name, value) = property
            .split_once('=')
            .ok_or_else(|| format!("{property:?} is no property: write NAME=VALUE"))?;
        properties.push((name.to_owned(), value.to_owned()));
    }
    Ok(Template { tag: arguments.tag.clone(), keys: arguments.key.clone(), properties })
}

/// On standard error, if somebody looks at it.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} messages, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn describe(summary: &Summary) -> String {
    let Summary { sent, bytes, requests, seconds, messages_per_second, .. } = summary;
    format!(
        "{sent} messages sent, {:.1} MB, in {requests} requests; {seconds:.2} s, \
         {messages_per_second:.0} messages/s",
        *bytes as f64 / 1e6
    )
}
