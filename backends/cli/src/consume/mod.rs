//! `turbopump consume`: writes what it receives.
//!
//! A message is said to be done when it was written. One at a time is out, so that what a queue
//! holds is written in its order, and nothing beyond the last one that is wanted is taken.

mod arguments;
mod output;

use alloc::sync::Arc;
use core::error::Error;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Instant;

use futures_core::Stream;
use indicatif::{ProgressBar, ProgressStyle};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{
    Client, Consumed, ConsumerBuilder, ConsumerReport, MessageStream, StartFrom, StreamMessage,
};

use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::moment::Moment;
use crate::switch::{Switch, stop_at_ctrl_c};
use crate::watch;

pub(crate) use arguments::ConsumeArguments;
use output::Form;

/// How long committing and leaving the group may take.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Counted,
    Idle,
    Interrupted,
    /// Whoever read the output has gone.
    Closed,
}

/// What became of a message.
enum Written {
    Whole,
    /// Nobody knows what it says.
    Unreadable,
    /// Nobody reads any more.
    Nowhere,
}

/// What it amounts to.
#[derive(Debug, Default)]
struct Summary {
    written: u64,
    bytes: u64,
    unreadable: u64,
}

pub(crate) fn run(arguments: &ConsumeArguments) -> Result<Ended, Box<dyn Error>> {
    let stop = stop_at_ctrl_c()?;
    match arguments.client.backend {
        BackendName::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            runtime.block_on(consume(backend, arguments, &stop))
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(consume(backend, arguments, &stop))
        }
    }
}

async fn consume<B: Backend>(
    backend: B,
    arguments: &ConsumeArguments,
    stop: &Arc<Switch>,
) -> Result<Ended, Box<dyn Error>> {
    let client = Client::start(backend.clone(), arguments.client.settings()?).await?;
    let stream = builder(&client, arguments).stream().await?;
    let (runtime, address) = (arguments.client.backend, arguments.monitor.0);
    let consumer = stream.consumer().clone();
    let monitor = watch::start(backend.clone(), runtime, address, &client, |sources| {
        let counted = consumer.clone();
        sources.register(&[], move || counted.stats())?.forever();
        Ok(())
    });
    let monitor = monitor.await?;
    let begin = Instant::now();
    let mut writer = Writer {
        backend,
        arguments,
        stream,
        out: BufWriter::new(io::stdout()),
        bar: bar(),
        summary: Summary::default(),
    };
    let (end, report) = writer.write_all(stop).await;
    writer.bar.finish_and_clear();
    let Writer { summary, stream, .. } = writer;
    drop(stream);
    client.close().await;
    monitor.stop().await;
    Ok(tell(arguments, &summary, end, report, begin.elapsed()))
}

fn builder<B: Backend>(client: &Client<B>, arguments: &ConsumeArguments) -> ConsumerBuilder<B> {
    let mut builder = client.consumer(&arguments.group).handlers_max(1);
    for topic in &arguments.topic {
        builder = match &arguments.sql {
            Some(expression) => builder.subscribe_by_sql92(topic, expression),
            None => builder.subscribe(topic, &arguments.tags),
        };
    }
    builder = builder.start_from(StartFrom::from(arguments.from));
    // Whoever says `last` does not mean what is there already.
    builder = builder.start_exactly(arguments.from == Moment::Last);
    if arguments.ordered { builder.ordered() } else { builder }
}

struct Writer<'a, B: Backend> {
    backend: B,
    arguments: &'a ConsumeArguments,
    stream: MessageStream<B>,
    out: BufWriter<io::Stdout>,
    bar: ProgressBar,
    summary: Summary,
}

impl<B: Backend> Writer<'_, B> {
    /// Writes messages until there is a reason to end, and leaves the group.
    async fn write_all(&mut self, stop: &Arc<Switch>) -> (End, ConsumerReport) {
        loop {
            let message = match stop.unless_off(self.next()).await {
                None => return (End::Interrupted, self.leave(None).await),
                Some(None) => return (End::Idle, self.leave(None).await),
                Some(Some(message)) => message,
            };
            match self.write(&message) {
                Written::Whole => {}
                Written::Unreadable => {
                    message.settle(Consumed::Retry);
                    continue;
                }
                Written::Nowhere => {
                    // It is not done: somebody else gets it.
                    let report = self.leave(None).await;
                    drop(message);
                    return (End::Closed, report);
                }
            }
            if self.arguments.count == Some(self.summary.written) {
                return (End::Counted, self.leave(Some(message)).await);
            }
            message.done();
        }
    }

    /// The next message; none where none has come for too long.
    async fn next(&mut self) -> Option<StreamMessage> {
        let idle = self.arguments.idle_ms.map(Duration::from_millis);
        let mut sleep = pin!(async {
            match idle {
                Some(idle) => self.backend.sleep_until(Instant::now() + idle).await,
                None => core::future::pending().await,
            }
        });
        let stream = &mut self.stream;
        poll_fn(|cx| match Pin::new(&mut *stream).poll_next(cx) {
            Poll::Ready(message) => Poll::Ready(message),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    fn write(&mut self, message: &StreamMessage) -> Written {
        let body = match message.body() {
            Ok(body) => body,
            Err(error) => {
                self.summary.unreadable += 1;
                let (queue, offset) = (message.queue(), message.offset());
                self.bar.suspend(|| {
                    eprintln!(
                        "turbopump: the message at offset {offset} of queue {queue}: {error}"
                    );
                });
                return Written::Unreadable;
            }
        };
        let form = match self.arguments {
            ConsumeArguments { length_prefixed: true, .. } => Form::LengthPrefixed,
            ConsumeArguments { metadata: true, .. } => Form::Metadata,
            arguments if arguments.client.json => Form::Json,
            _ => Form::Lines,
        };
        if output::write(&mut self.out, form, message, body).is_err() {
            return Written::Nowhere;
        }
        self.summary.written += 1;
        self.summary.bytes += body.len() as u64;
        self.bar.set_position(self.summary.written);
        Written::Whole
    }

    /// Ends the consumer; the last message is done once nothing more is handed out.
    async fn leave(&mut self, last: Option<StreamMessage>) -> ConsumerReport {
        let consumer = self.stream.consumer().clone();
        let mut shutdown = pin!(consumer.shutdown(LEAVES_WITHIN));
        let mut last = last;
        poll_fn(|cx| {
            let report = shutdown.as_mut().poll(cx);
            if let Some(last) = last.take() {
                last.done();
            }
            report
        })
        .await
    }
}

/// On standard error, if somebody looks at it and not at the messages.
fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} messages, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

/// Says what it amounts to, on standard error: standard output is for messages.
fn tell(
    arguments: &ConsumeArguments,
    summary: &Summary,
    end: End,
    report: ConsumerReport,
    took: Duration,
) -> Ended {
    let Summary { written, bytes, unreadable } = summary;
    let _ = writeln!(
        io::stderr(),
        "turbopump: {written} messages, {:.1} MB, in {:.2} s",
        *bytes as f64 / 1e6,
        took.as_secs_f64()
    );
    let mut ended = Ended::Well;
    if *unreadable > 0 {
        eprintln!("turbopump: {unreadable} messages could not be read");
        ended = Ended::Badly;
    }
    if report.uncommitted > 0 {
        eprintln!(
            "turbopump: of {} queues it may not be known how far they are: the last messages of \
             them come again",
            report.uncommitted
        );
        ended = Ended::Badly;
    }
    let is_short = arguments.count.is_some_and(|count| *written < count);
    if is_short && matches!(end, End::Idle | End::Closed) {
        ended = Ended::Badly;
    }
    ended
}
