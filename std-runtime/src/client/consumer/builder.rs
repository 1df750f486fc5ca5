//! What a consumer subscribes to, and how it begins.

use core::fmt;
use core::future::Future;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use turbopump_core::rocketmq::client::topic_problem;
use turbopump_core::rocketmq::consumer::{ConsumeMode, StartFrom, Subscription};
use turbopump_core::rocketmq::wire::names::RetryTopic;
use turbopump_core::time::Clock;

use super::asked::Asked;
use super::batching::{IntoAllConsumed, Many};
use super::config::ConsumerConfig;
use super::description::{Description, SubscribedTopic, Wanted};
use super::error::{ConsumeError, ConsumeErrorKind};
use super::group::Group;
use super::handler::{AnyHandler, Handler, IntoConsumed, Single};
use super::offsets::{Blocking, NoStore, OffsetStore, Store};
use super::received::ReceivedMessage;
use super::stream::{MessageStream, Streaming, Waiting};
use super::{Consumer, Handle, coordinator, worker};
use crate::backend::Backend;
use crate::client::Inner;
use crate::tasks::kinds;

/// A consumer that has not begun: says what it subscribes to.
///
/// ```no_run
/// use turbopump_std::backend::Backend;
/// use turbopump_std::client::{Client, ClientConfig, ReceivedMessage, UnreadableBody};
///
/// async fn hello<B: Backend>(backend: B) -> Result<(), Box<dyn std::error::Error>> {
///     let client = Client::start(backend, ClientConfig::new("127.0.0.1:9876")).await?;
///     let consumer = client.consumer("group").subscribe("topic", "*");
///     let consumer = consumer.start(async |message: ReceivedMessage| {
///         println!("{:?}", message.body()?);
///         Ok::<(), UnreadableBody>(())
///     });
///     # let _ = consumer.await?;
///     Ok(())
/// }
/// ```
#[must_use = "nothing is consumed before it is started"]
pub struct ConsumerBuilder<B: Backend> {
    inner: Arc<Inner<B>>,
    group: Box<str>,
    config: ConsumerConfig,
    topics: Vec<(Box<str>, Wanted)>,
    store: Option<Arc<dyn OffsetStore>>,
}

impl<B: Backend> ConsumerBuilder<B> {
    pub(in crate::client) fn new(inner: Arc<Inner<B>>, group: &str) -> Self {
        let (config, topics) = (ConsumerConfig::default(), Vec::new());
        Self { inner, group: group.into(), config, topics, store: None }
    }

    /// Subscribes to messages of a topic with one of these tags: `a || b`, or `*` for all. All
    /// members of a group have to subscribe to the same.
    pub fn subscribe(mut self, topic: &str, tags: &str) -> Self {
        self.topics.push((topic.into(), Wanted::Tags(tags.into())));
        self
    }

    /// Subscribes to messages of a topic that an expression over their properties chooses: SQL92,
    /// which brokers have to allow (`enablePropertyFilter`).
    pub fn subscribe_by_sql92(mut self, topic: &str, expression: &str) -> Self {
        self.topics.push((topic.into(), Wanted::Sql92(expression.into())));
        self
    }

    /// With these settings instead of the defaults.
    pub fn with_config(mut self, config: ConsumerConfig) -> Self {
        self.config = config;
        self
    }

    /// Where the group begins in queues of which it has committed nothing.
    pub fn start_from(mut self, from: StartFrom) -> Self {
        self.config.start.from = from;
        self
    }

    /// Whether a group that begins with the last message leaves out all that is there, also in
    /// queues that are young; see [`StartPolicy::is_exact`].
    ///
    /// [`StartPolicy::is_exact`]: turbopump_core::rocketmq::consumer::StartPolicy::is_exact
    pub fn start_exactly(mut self, is_exact: bool) -> Self {
        self.config.start.is_exact = is_exact;
        self
    }

    /// Handlers that run at once, at most.
    pub fn handlers_max(mut self, handlers: usize) -> Self {
        self.config.handlers_max = handlers;
        self
    }

    /// Each queue's messages one after the other, in their order: a queue has one handler at a
    /// time, and its broker gives it to one member. What fails holds its queue, until it is done or
    /// was tried often enough.
    pub fn ordered(mut self) -> Self {
        self.config.mode = ConsumeMode::Ordered;
        self
    }

    /// Each member gets all messages, and keeps its own offsets: in `store`, because brokers don't.
    /// What fails is tried again by the member itself.
    pub fn broadcasting(mut self, store: impl OffsetStore) -> Self {
        self.config.mode = ConsumeMode::Broadcasting;
        self.store = Some(Arc::new(store));
        self
    }

    /// How often a message is tried again before it becomes a dead letter.
    pub fn retries_max(mut self, retries: u16) -> Self {
        self.config.retry.retries_max = retries.into();
        self
    }

    /// Begins: `handler` is called with each message, with as many at once as
    /// [`handlers_max`](ConsumerConfig::handlers_max), and says what becomes of it. It is dropped
    /// where the consumer ends before it does. A handler that panics has failed.
    ///
    /// Queues are found in the background: a topic that is not there yet, or a broker that is away,
    /// is no error.
    ///
    /// # Errors
    ///
    /// [`ConsumeError`] for what can't be meant, for a group that this client consumes for already,
    /// and for a client that is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends whatever was begun.
    pub async fn start<F, R>(self, handler: F) -> Result<Consumer<B>, ConsumeError>
    where
        F: Fn(ReceivedMessage) -> R + Send + Sync + 'static,
        R: Future<Output: IntoConsumed> + Send,
    {
        self.begin(Single(handler))
    }

    /// As [`start`](Self::start), with a handler of up to
    /// [`consume_batch_max`](ConsumerConfig::consume_batch_max) messages of one queue at a time: as
    /// many as are there, without waiting for more. What becomes of each is said by one
    /// [`Consumed`](super::Consumed) per message; a panic is a failure of all.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn start_batches<F, R>(self, handler: F) -> Result<Consumer<B>, ConsumeError>
    where
        F: Fn(Vec<ReceivedMessage>) -> R + Send + Sync + 'static,
        R: Future<Output: IntoAllConsumed> + Send,
    {
        let messages_max = self.config.consume_batch_max;
        self.begin(Many { function: handler, messages_max })
    }

    /// As [`start`](Self::start), without a handler: messages come as a stream, and whoever takes
    /// one says what becomes of it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn stream(self) -> Result<MessageStream<B>, ConsumeError> {
        let waiting: Arc<Waiting> = Arc::default();
        let consumer = self.begin(Streaming(Arc::clone(&waiting)))?;
        Ok(MessageStream::new(consumer, waiting))
    }

    pub(super) fn begin<H: Handler>(self, handler: H) -> Result<Consumer<B>, ConsumeError> {
        let failed = |kind| ConsumeError { group: self.group.clone(), kind };
        let config = self.config.clone().settled();
        if let Some(problem) = config.problem() {
            return Err(failed(ConsumeErrorKind::Settings { problem }));
        }
        if self.inner.closing.is_over() || self.inner.budget.usage().is_closed {
            return Err(failed(ConsumeErrorKind::Closed));
        }
        let description = Arc::new(self.describe(&config).map_err(failed)?);
        let (inner, handlers) = (self.inner, config.handlers_max);
        let handler = Arc::new(handler);
        let any: Arc<dyn AnyHandler> = Arc::clone(&handler) as Arc<dyn AnyHandler>;
        let known = Arc::clone(&description);
        let store = store_of(&inner, &config, self.store);
        let group = Group::new(Arc::clone(&inner), &self.group, known, config, store, any);
        let group = Arc::new(group);
        let asked: Weak<dyn Asked> = Arc::downgrade(&(Arc::clone(&group) as Arc<dyn Asked>));
        if !inner.groups.consume(description, asked) {
            let kind = ConsumeErrorKind::AlreadyConsumes;
            return Err(ConsumeError { group: self.group, kind });
        }
        inner.register_consumer(&group);
        let ticket = group.tasks.enter();
        kinds::CONSUMER.spawn(&inner.backend, coordinator::run(Arc::clone(&group), ticket));
        for number in 0..handlers {
            let work =
                worker::run(Arc::clone(&group), Arc::clone(&handler), number, group.tasks.enter());
            kinds::CONSUMER_WORKER.spawn(&inner.backend, work);
        }
        Ok(Consumer { handle: Arc::new(Handle { group }) })
    }

    fn describe(&self, config: &ConsumerConfig) -> Result<Description, ConsumeErrorKind> {
        if let Some(reason) = topic_problem(&self.group) {
            return Err(ConsumeErrorKind::Group { reason });
        }
        let mut topics: Vec<SubscribedTopic> = Vec::new();
        for (name, wanted) in &self.topics {
            let refused = |reason| ConsumeErrorKind::Topic { topic: name.clone(), reason };
            if let Some(reason) = topic_problem(name) {
                return Err(refused(reason));
            }
            if topics.iter().any(|topic| *topic.name == **name) {
                return Err(refused("is subscribed twice: name all its tags in one expression"));
            }
            let expression = match wanted {
                Wanted::Tags(text) => Subscription::by_tags(name, text, 0).map_err(|_| text),
                Wanted::Sql92(text) if text.trim().is_empty() => Err(text),
                Wanted::Sql92(text) => Ok(Subscription::by_sql92(name, text, 0)),
            };
            if let Err(text) = expression {
                let expression: Box<str> = text.as_str().into();
                return Err(ConsumeErrorKind::Expression { topic: name.clone(), expression });
            }
            topics.push(SubscribedTopic {
                name: Arc::from(&**name),
                wire_name: self.inner.wire_name(name).into(),
                wanted: wanted.clone(),
                is_retry: false,
            });
        }
        if topics.is_empty() {
            return Err(ConsumeErrorKind::NoTopic);
        }
        let group: Box<str> = self.inner.wire_name(&self.group).into();
        let is_broadcasting = config.mode == ConsumeMode::Broadcasting;
        if !is_broadcasting {
            topics.push(SubscribedTopic {
                name: RetryTopic(&self.group).to_string().into(),
                wire_name: RetryTopic(&group).to_string().into(),
                wanted: Wanted::Tags(String::from("*")),
                is_retry: true,
            });
        }
        Ok(Description {
            group,
            topics,
            version_ms: i64::try_from(self.inner.clock.now().unix_ms).unwrap_or(i64::MAX),
            from: config.start.from,
            is_broadcasting,
            is_active: false,
        })
    }
}

/// Where offsets are kept, if not at brokers.
fn store_of<B: Backend>(
    inner: &Inner<B>,
    config: &ConsumerConfig,
    store: Option<Arc<dyn OffsetStore>>,
) -> Option<Arc<dyn Store>> {
    if config.mode != ConsumeMode::Broadcasting {
        return None;
    }
    let store = store.unwrap_or_else(|| Arc::new(NoStore));
    Some(Arc::new(Blocking::new(inner.backend.clone(), store)))
}

impl<B: Backend> fmt::Debug for ConsumerBuilder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
