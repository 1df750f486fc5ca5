//! Spans of the crate `tracing`, as a subscriber sees them.

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Span, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{BrokerConfig, EmbeddedBroker, Fault, FaultAction};
use turbopump::runtime::client::{
    Batching, Client, ClientConfig, Message, Producer, ProducerConfig, SendHook,
};

turbopump_tests::on_every_runtime![
    a_message_has_a_span_within_that_of_whoever_sends_it,
    attempts_that_fail_are_told_within_the_request,
    requests_with_many_messages_follow_from_all_of_them,
    messages_that_are_refused_say_why,
    hooks_run_within_the_span_and_pass_its_context_on,
];

/// What is known of a span.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: String,
    id: u64,
    parent: Option<u64>,
    fields: BTreeMap<String, String>,
    follows: Vec<u64>,
    events: Vec<BTreeMap<String, String>>,
    is_closed: bool,
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// All spans of the process; ids are used again, so that the last of an id is meant.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    fn spans(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap()
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        let mut spans = self.spans();
        change(spans.iter_mut().rev().find(|seen| seen.id == id.into_u64()).unwrap());
    }
}

struct Fields<'f>(&'f mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent().map(|span| span.id()));
        let parent = parent.map(|id| id.into_u64());
        let name = attributes.metadata().name().into();
        let mut seen = Seen { name, id: id.into_u64(), parent, ..Seen::default() };
        attributes.record(&mut Fields(&mut seen.fields));
        self.spans().push(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |seen| values.record(&mut Fields(&mut seen.fields)));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        self.change(id, |seen| seen.follows.push(follows.into_u64()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.change(&span.id(), |seen| seen.events.push(fields));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |seen| seen.is_closed = true);
    }
}

fn collector() -> Collector {
    static COLLECTOR: OnceLock<Collector> = OnceLock::new();
    let begin = || {
        let collector = Collector::default();
        let subscriber = tracing_subscriber::registry().with(collector.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        collector
    };
    COLLECTOR.get_or_init(begin).clone()
}

/// One broker, one client, and a topic that no other story has.
struct Scene<B: Backend> {
    backend: B,
    collector: Collector,
    broker: EmbeddedBroker<B>,
    client: Client<B>,
    topic: String,
}

impl<B: Backend> Scene<B> {
    async fn new(backend: B) -> Self {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let collector = collector();
        let broker = EmbeddedBroker::start(backend.clone(), BrokerConfig::default()).await.unwrap();
        broker.keep_journal(100);
        let config = ClientConfig::new(&broker.name_server_address().to_string());
        let client = Client::start(backend.clone(), config).await.unwrap();
        let topic = format!("Topic-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        Self { backend, collector, broker, client, topic }
    }

    fn message(&self) -> Message {
        Message::new(self.topic.clone(), "a body that nobody sees")
    }

    /// The spans of one name that have to do with the topic, once all of those are closed.
    async fn spans(&self, name: &str) -> Vec<Seen> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let of_topic = |seen: &&Seen| {
                seen.name == name && seen.field("messaging.destination.name") == self.topic
            };
            let found: Vec<_> = self.collector.spans().iter().filter(of_topic).cloned().collect();
            assert!(!format!("{found:?}").contains("nobody sees"), "{found:?}");
            if found.iter().all(|seen| seen.is_closed) {
                return found;
            }
            assert!(Instant::now() < until, "{found:?}");
            self.backend.sleep_until(Instant::now() + Duration::from_millis(2)).await;
        }
    }

    fn batching(&self) -> Producer<B> {
        let batching = Batching { messages_max: 3, linger_us: 60_000_000, ..Batching::default() };
        let mut config = ProducerConfig::default();
        config.batching = Some(batching);
        self.client.producer_with("group", config).unwrap()
    }
}

const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn a_message_has_a_span_within_that_of_whoever_sends_it<B: Backend>(backend: B) {
    let scene = Scene::new(backend).await;
    let producer = scene.client.producer("group");
    let outer = info_span!("outer");
    let message = scene.message().trace_context(CONTEXT, None);
    let sent = producer.send(message).instrument(outer.clone()).await.unwrap();
    let (sends, requests) = (scene.spans("send").await, scene.spans("request").await);
    assert_eq!((sends.len(), requests.len()), (1, 1));
    assert_eq!(sends[0].parent, outer.id().map(|id| id.into_u64()));
    assert_eq!(requests[0].parent, Some(sends[0].id));
    let id = sent.message_id.to_string();
    for (field, expected) in [
        ("otel.kind", "producer"),
        ("messaging.system", "rocketmq"),
        ("messaging.rocketmq.client_group", "group"),
        ("messaging.message.id", id.as_str()),
        ("messaging.rocketmq.broker", "broker-a"),
        ("messaging.rocketmq.offset", "0"),
        ("messaging.destination.partition.id", &sent.queue.to_string()),
        ("traceparent", CONTEXT),
        ("error", ""),
    ] {
        assert_eq!(sends[0].field(field), expected, "{field}");
    }
    for (field, expected) in
        [("attempts", "1"), ("messaging.batch.message_count", "1"), ("messaging.message.id", &id)]
    {
        assert_eq!(requests[0].field(field), expected, "{field}");
    }
    // A batch of the user's is one request within the user's span.
    let batch = [scene.message(), scene.message()];
    producer.send_batch(&batch).instrument(outer.clone()).await.unwrap();
    let requests = scene.spans("request").await;
    assert_eq!(requests[1].parent, outer.id().map(|id| id.into_u64()));
    assert_eq!(requests[1].field("messaging.batch.message_count"), "2");
}

async fn attempts_that_fail_are_told_within_the_request<B: Backend>(backend: B) {
    let scene = Scene::new(backend).await;
    let answer = FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]".into() };
    scene.broker.inject(Fault::new(answer).of_code(310).times(2));
    scene.client.producer("group").send(scene.message()).await.unwrap();
    let requests = scene.spans("request").await;
    assert_eq!(requests[0].field("attempts"), "3");
    assert_eq!(requests[0].events.len(), 2);
    for (place, event) in requests[0].events.iter().enumerate() {
        assert_eq!(event["attempt"], (place + 1).to_string());
        assert!(event["error"].contains("PCBUSY_CLEAN_QUEUE"), "{event:?}");
    }
    assert_eq!(scene.spans("send").await[0].field("error"), "");
}

async fn requests_with_many_messages_follow_from_all_of_them<B: Backend>(backend: B) {
    let scene = Scene::new(backend).await;
    let producer = scene.batching();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(producer.submit(scene.message()).await.unwrap());
    }
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    let (sends, requests) = (scene.spans("send").await, scene.spans("request").await);
    assert_eq!((sends.len(), requests.len()), (3, 1));
    assert_eq!(requests[0].parent, None);
    let ids: Vec<_> = sends.iter().map(|seen| seen.id).collect();
    assert_eq!(requests[0].follows, ids);
    let offsets: Vec<_> =
        sends.iter().map(|seen| seen.field("messaging.rocketmq.offset").to_owned()).collect();
    assert_eq!(offsets, ["0", "1", "2"]);
}

async fn messages_that_are_refused_say_why<B: Backend>(backend: B) {
    let scene = Scene::new(backend).await;
    let producer = scene.client.producer("group");
    let long = Message::new(scene.topic.clone(), vec![0; 5 << 20]);
    let errors = [
        producer.send(long.clone()).await.unwrap_err(),
        producer.send_oneway(long.clone()).await.unwrap_err(),
        producer.submit(long.clone()).await.map(|_| ()).unwrap_err(),
        producer.try_send(long).map(|_| ()).map_err(|refused| refused.error).unwrap_err(),
    ];
    let answer = FaultAction::Refuse { code: 13, remark: "not this one".into() };
    scene.broker.inject(Fault::new(answer).of_code(310));
    let refused = producer.send(scene.message()).await.unwrap_err();
    scene.client.close().await;
    let closed = producer.send(scene.message()).await.unwrap_err();
    let sends = scene.spans("send").await;
    let errors: Vec<_> = errors.into_iter().chain([refused, closed]).collect();
    assert_eq!(sends.len(), errors.len());
    for (seen, error) in sends.iter().zip(&errors) {
        assert_eq!(seen.field("otel.status_code"), "ERROR");
        assert_eq!(seen.field("error"), error.to_string());
    }
    let requests = scene.spans("request").await;
    assert_eq!(requests.len(), 1);
    assert!(requests[0].field("error").contains("not this one"), "{requests:?}");
}

/// Does what a bridge to OpenTelemetry does.
struct Bridge;

impl SendHook for Bridge {
    fn before(&self, _: &str, message: &mut Message) {
        let id = Span::current().id().unwrap().into_u64();
        message.set_property("traceparent", &format!("00-{:032x}-{id:016x}-01", 1));
    }
}

async fn hooks_run_within_the_span_and_pass_its_context_on<B: Backend>(backend: B) {
    let scene = Scene::new(backend).await;
    let mut config = ProducerConfig::default();
    config.hooks.push(Arc::new(Bridge));
    let producer = scene.client.producer_with("group", config).unwrap();
    producer.send(scene.message()).await.unwrap();
    let sends = scene.spans("send").await;
    let context = sends[0].field("traceparent");
    assert_eq!(context, format!("00-{:032x}-{:016x}-01", 1, sends[0].id));
    let journal = scene.broker.take_journal();
    let sent = journal.iter().find(|entry| entry.code == 310).unwrap();
    let (_, properties) = sent.fields.iter().find(|(name, _)| name == "i").unwrap();
    assert!(properties.contains(&format!("traceparent\u{1}{context}\u{2}")), "{properties:?}");
}
