//! The consumer over real sockets, the same on every backend: what users need of it. Names that
//! begin with `u` and a number are rows of what users have asked for.

extern crate alloc;

mod asked;
mod bodies;
mod ending;
mod failing;
mod forms;
mod ordered;
mod retrying;
mod sharing;
mod starting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, JournalEntry};
use turbopump::runtime::client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Message, Producer, ReceivedMessage,
    SendReceipt, StartFrom, UnreadableBody,
};

turbopump_tests::on_every_runtime![
    the_first_message_takes_ten_lines,
    messages_say_where_they_come_from,
    names_are_put_into_the_namespace,
    tags_are_chosen_by_the_broker_and_again_here,
    as_many_handlers_run_as_may,
    what_is_under_way_is_bounded_for_all_consumers_together,
    large_messages_come_alone,
    many_queues_are_pulled_over_one_connection,
];

async fn start<B: Backend>(backend: &B) -> EmbeddedBroker<B> {
    let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await.unwrap();
    broker.keep_journal(10_000);
    broker
}

fn config<B: Backend>(broker: &EmbeddedBroker<B>) -> ClientConfig {
    ClientConfig::new(&broker.name_server_address().to_string())
}

async fn client<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>) -> Client<B> {
    Client::start(backend.clone(), config(broker)).await.unwrap()
}

/// Settings by which a test does not wait for what it is not about.
fn eager() -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    config.start.from = StartFrom::First;
    config.commit_interval = Duration::from_millis(20);
    config.retry.again_us = 10_000;
    config.take_delay = Duration::ZERO;
    config
}

fn field<'e>(entry: &'e JournalEntry, name: &str) -> &'e str {
    let found = entry.fields.iter().find(|(other, _)| other == name);
    found.map_or("", |(_, value)| value)
}

/// Waits until something is so; for half a minute at most.
#[track_caller]
fn until<B: Backend>(
    backend: &B,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let at = core::panic::Location::caller();
    let end = Instant::now() + Duration::from_secs(30);
    async move {
        while !is_so() {
            assert!(Instant::now() < end, "not so in time: {what}, {at}");
            backend.sleep_until(Instant::now() + Duration::from_millis(2)).await;
        }
    }
}

/// Sends so many numbered messages to a topic.
async fn send<B: Backend>(
    producer: &Producer<B>,
    topic: &'static str,
    numbers: core::ops::Range<u32>,
) {
    for number in numbers {
        send_one(producer, topic, &number.to_string()).await;
    }
}

async fn send_one<B: Backend>(
    producer: &Producer<B>,
    topic: &'static str,
    body: &str,
) -> SendReceipt {
    producer.send(Message::new(topic, body.to_owned())).await.unwrap()
}

/// What handlers have got: how often each body came.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<BTreeMap<String, u32>>>);

type Noted = core::future::Ready<Result<(), UnreadableBody>>;

impl Got {
    fn note(&self, message: &ReceivedMessage) -> Result<(), UnreadableBody> {
        let body = String::from_utf8_lossy(message.body()?).into_owned();
        *self.0.lock().unwrap().entry(body).or_default() += 1;
        Ok(())
    }

    fn handler(&self) -> impl Fn(ReceivedMessage) -> Noted + Send + Sync + use<> {
        let got = self.clone();
        move |message| core::future::ready(got.note(&message))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn bodies(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// Those that came more than once.
    fn repeats(&self) -> Vec<(String, u32)> {
        let got = self.0.lock().unwrap();
        let repeats = got.iter().filter(|(_, count)| **count > 1);
        repeats.map(|(body, count)| (body.clone(), *count)).collect()
    }
}

/// What has been committed is what was pulled.
fn is_committed<B: Backend>(broker: &EmbeddedBroker<B>, group: &str, topic: &str) -> bool {
    let stats = broker.stats();
    let lag = stats.group_lags.iter().find(|(g, t, _)| g == group && t == topic);
    lag.is_some_and(|(_, _, lag)| *lag == 0)
}

async fn consumer<B: Backend>(
    client: &Client<B>,
    group: &str,
    topic: &str,
    got: &Got,
) -> Consumer<B> {
    let consumer = client.consumer(group).with_config(eager()).subscribe(topic, "*");
    consumer.start(got.handler()).await.unwrap()
}

async fn the_first_message_takes_ten_lines<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let name_server = broker.name_server_address().to_string();
    let (heard, hears) = smol::channel::bounded(1);
    let hello = async || -> Result<_, Box<dyn std::error::Error>> {
        let client = Client::start(backend.clone(), ClientConfig::new(&name_server)).await?;
        client.producer("producers").send(Message::new("topic", "hi")).await?;
        let consumer = client.consumer("group").subscribe("topic", "*");
        let consumer = consumer.start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move { heard.try_send(message.into_body()).unwrap() }
        });
        let _consumer = consumer.await?;
        Ok(hears.recv().await?)
    };
    assert_eq!(hello().await.unwrap().unwrap(), "hi");
}

async fn messages_say_where_they_come_from<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    let message = Message::new("Orders", "x").tag("new").key("1").key("2").property("a", "b");
    let sent = producer.send(message.flag(7)).await.unwrap();
    let (heard, hears) = smol::channel::bounded(1);
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "new");
    let _consumer = consumer
        .start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move { heard.send(message).await.unwrap() }
        })
        .await
        .unwrap();
    let message = hears.recv().await.unwrap();
    assert_eq!((message.topic(), message.tag()), ("Orders", Some("new")));
    assert_eq!(message.keys().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((message.get_property("a"), message.flag()), (Some("b"), 7));
    assert_eq!(message.message_id(), sent.message_id.to_string());
    assert_eq!(message.offset_message_id(), sent.offset_message_id.unwrap());
    assert_eq!((message.broker(), message.queue()), (&*sent.broker, sent.queue));
    assert_eq!((message.offset(), message.reconsume_times()), (sent.offset, 0));
    assert!(message.born_host().ip().is_loopback());
    assert!(message.store_unix_ms() >= message.born_unix_ms() - 60_000);
    assert!(message.iter_properties().any(|(name, value)| (name, value) == ("a", "b")));
    // Nothing was copied: the body lies in the frame that was read, among the others of the pull.
    let (body, debug) = (message.body().unwrap().clone(), format!("{message:?}"));
    assert!(debug.contains("Orders") && debug.contains(message.message_id()), "{debug}");
    drop(message);
    assert_eq!(body, "x", "kept as long as somebody has it");
}

async fn names_are_put_into_the_namespace<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.namespace = Some("shop".into());
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let (heard, hears) = smol::channel::unbounded();
    let consumer = client.consumer("group").with_config(eager()).subscribe("Orders", "*");
    send_one(&client.producer("producers"), "Orders", "x").await;
    let consumer = consumer
        .start(move |message: ReceivedMessage| {
            let heard = heard.clone();
            async move {
                let tries = message.reconsume_times();
                heard.send((message.topic().to_owned(), tries)).await.unwrap();
                if tries == 0 { Err("once more") } else { Ok(()) }
            }
        })
        .await
        .unwrap();
    assert_eq!(hears.recv().await.unwrap(), ("Orders".into(), 0));
    until(&backend, "sent back", || broker.stats().counts.messages_retried == 1).await;
    broker.advance_clock(Duration::from_secs(60));
    assert_eq!(hears.recv().await.unwrap(), ("Orders".into(), 1), "the real name");
    assert_eq!(consumer.stats().last_failure(), Some("once more"));
    let pulls = broker.take_journal().into_iter().filter(|entry| entry.code == 11);
    let names: std::collections::BTreeSet<_> = pulls
        .map(|pull| (field(&pull, "consumerGroup").to_owned(), field(&pull, "topic").to_owned()))
        .collect();
    let expected = [("shop%group", "%RETRY%shop%group"), ("shop%group", "shop%Orders")];
    assert!(names.iter().map(|(group, topic)| (&**group, &**topic)).eq(expected), "{names:?}");
}

async fn tags_are_chosen_by_the_broker_and_again_here<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let producer = client.producer("producers");
    // These two have the same hash, so that the broker takes one for the other.
    for (body, tag) in [("1", "Aa"), ("2", "BB"), ("3", "red"), ("4", "blue"), ("5", "Aa")] {
        producer.send(Message::new("Orders", body).tag(tag)).await.unwrap();
    }
    producer.send(Message::new("Orders", "6")).await.unwrap();
    let got = Got::default();
    let mut settings = eager();
    // The broker passes over what it does not choose, and says so when its time is over.
    settings.pull.suspend_us = 300_000;
    let consumer = client.consumer("group").with_config(settings).subscribe("Orders", "Aa || red");
    let consumer = consumer.start(got.handler()).await.unwrap();
    until(&backend, "three came", || got.len() == 3).await;
    // What nobody wants counts as done.
    let shown = || format!("{:?} {:?}", consumer.queues(), broker.stats().group_lags);
    let end = Instant::now() + Duration::from_secs(25);
    until(&backend, "all is committed", || {
        assert!(Instant::now() < end, "{}", shown());
        is_committed(&broker, "group", "Orders")
    })
    .await;
    assert_eq!(got.bodies(), ["1", "3", "5"]);
    assert_eq!(consumer.stats().cached_messages(), 0);
}

async fn as_many_handlers_run_as_may<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    send(&client.producer("producers"), "Orders", 0..40).await;
    let (opens, open) = smol::channel::unbounded::<()>();
    let running = Arc::new(Mutex::new((0, 0)));
    let consumer = client.consumer("group").with_config(eager()).handlers_max(5);
    let count = Arc::clone(&running);
    let consumer = consumer
        .subscribe("Orders", "*")
        .start(move |_: ReceivedMessage| {
            let (open, count) = (open.clone(), Arc::clone(&count));
            async move {
                count.lock().unwrap().0 += 1;
                open.recv().await.unwrap();
                let mut count = count.lock().unwrap();
                *count = (count.0 - 1, count.1 + 1);
            }
        })
        .await
        .unwrap();
    until(&backend, "five run", || running.lock().unwrap().0 == 5).await;
    // All are pulled meanwhile, but no more are handed out.
    until(&backend, "all came", || consumer.stats().cached_messages() == 40).await;
    assert_eq!(*running.lock().unwrap(), (5, 0));
    for _ in 0..40 {
        opens.send(()).await.unwrap();
    }
    until(&backend, "all are done", || consumer.stats().done() == 40).await;
    assert_eq!(*running.lock().unwrap(), (0, 40));
}

async fn what_is_under_way_is_bounded_for_all_consumers_together<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.flow.messages_max = 20;
    settings.flow.pull_messages_max = 4;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("producers");
    send(&producer, "Orders", 0..60).await;
    send(&producer, "Bills", 60..120).await;
    let (opens, open) = smol::channel::unbounded::<()>();
    let got = Got::default();
    let mut consumers = Vec::new();
    for (group, topic) in [("one", "Orders"), ("two", "Bills")] {
        let (open, got) = (open.clone(), got.clone());
        let consumer = client.consumer(group).with_config(eager()).subscribe(topic, "*");
        let consumer = consumer.start(move |message: ReceivedMessage| {
            let (open, got) = (open.clone(), got.clone());
            async move {
                open.recv().await.unwrap();
                got.note(&message)
            }
        });
        consumers.push(consumer.await.unwrap());
    }
    let cached = || consumers.iter().map(|one| one.stats().cached_messages()).sum::<usize>();
    until(&backend, "the budget is used", || cached() >= 12).await;
    for _ in 0..120 {
        assert!(consumers.iter().all(|one| one.stats().under_way_messages() <= 20));
        opens.send(()).await.unwrap();
    }
    until(&backend, "all are done", || got.len() == 120).await;
    assert_eq!(got.repeats(), []);
}

async fn large_messages_come_alone<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let mut settings = config(&broker);
    settings.compress_from_bytes = usize::MAX;
    settings.flow.bytes_max = 300 << 10;
    let client = Client::start(backend.clone(), settings).await.unwrap();
    let producer = client.producer("producers");
    for number in 0..10_u8 {
        let body = vec![b'a' + number; 3 << 20];
        producer.send(Message::new("Orders", body)).await.unwrap();
    }
    let got = Got::default();
    let consumer = consumer(&client, "group", "Orders", &got).await;
    until(&backend, "all came", || got.len() == 10).await;
    until(&backend, "all is committed", || is_committed(&broker, "group", "Orders")).await;
    assert_eq!((got.repeats(), consumer.stats().cached_bytes()), (vec![], 0));
}

async fn many_queues_are_pulled_over_one_connection<B: Backend>(backend: B) {
    let broker = start(&backend).await;
    let client = client(&backend, &broker).await;
    let mut topic = turbopump::runtime::client::TopicConfig::new("Wide");
    (topic.read_queues, topic.write_queues) = (600, 600);
    client.admin().create_topic(&topic).await.unwrap();
    let got = Got::default();
    let consumer = consumer(&client, "group", "Wide", &got).await;
    let running = || consumer.queues().iter().filter(|queue| queue.is_running).count();
    until(&backend, "all queues are pulled", || running() >= 600).await;
    // Long polls of all of them are under way, and others get through.
    let producer = client.producer("producers");
    send(&producer, "Wide", 0..50).await;
    until(&backend, "all came", || got.len() == 50).await;
    let report = consumer.shutdown(Duration::from_secs(20)).await;
    assert!(report.in_time && report.uncommitted == 0, "{report:?}");
}
