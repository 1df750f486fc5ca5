//! Transactions: a message that is seen once what it is about is done, and not where it is not.
//!
//! A half message goes first; then the user's own work is done; then the broker is told the
//! outcome. Where it is not told, because somebody has died meanwhile, it asks, at any producer of
//! the group.

use core::fmt;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::command::{
    CheckTransactionStateRequestHeader, Command, EndTransactionRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::request_code;
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::message::Message as StoredMessage;
use turbopump_core::rocketmq::wire::names::WithoutNamespace;
use turbopump_core::rocketmq::wire::properties::{Properties, keys};

use super::Inner;
use super::error::{SendError, SendErrorKind};
use super::groups::Groups;
use super::message::{Message, OutgoingMessage};
use super::peers::Peer;
use super::producer::Producer;
use super::receipt::{SendReceipt, SendStatus};
use crate::backend::Backend;
use crate::rocketmq::{BodyCodec, RemotingLink};

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionState {
    /// It is done: the message is delivered.
    Commit,
    /// It is not done, and will not be: the message is dropped.
    Rollback,
    /// Not known yet: the broker asks again later, a number of times.
    Unknown,
}

impl TransactionState {
    const fn wire(self) -> i32 {
        match self {
            Self::Commit => 0x8,
            Self::Rollback => 0xc,
            Self::Unknown => 0,
        }
    }
}

/// Does what a transaction is about, and knows what became of it.
///
/// A call that panics counts as one that says [`TransactionState::Unknown`].
pub trait TransactionListener: Send + Sync + 'static {
    /// The half message is stored: do what it is about.
    fn execute(
        &self,
        message: &Message,
        receipt: &SendReceipt,
    ) -> impl Future<Output = TransactionState> + Send;

    /// A broker asks what became of it. Any producer of the group may be asked, one that has been
    /// started since, too; so look it up where it is written down.
    fn check(&self, message: &HalfMessage) -> impl Future<Output = TransactionState> + Send;
}

/// A message whose transaction a broker asks about.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HalfMessage {
    /// Where it goes once it is committed.
    pub topic: String,
    /// What it says, restored where it was compressed.
    pub body: Vec<u8>,
    /// The id that it was given when it was sent.
    pub message_id: String,
    properties: String,
}

impl HalfMessage {
    /// The value of a property.
    #[must_use]
    pub fn get_property(&self, name: &str) -> Option<&str> {
        Properties::new(&self.properties).get(name)
    }
}

impl fmt::Debug for HalfMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HalfMessage")
            .field("topic", &self.topic)
            .field("body_bytes", &self.body.len())
            .field("message_id", &self.message_id)
            .finish_non_exhaustive()
    }
}

/// A transaction's message that a broker has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionReceipt {
    /// Of the half message: its offset is not the one that consumers see.
    pub half: SendReceipt,
    /// What the listener has said.
    pub state: TransactionState,
    /// Whether the broker was told; where it was not, it asks.
    pub is_told: bool,
}

type Checking<'c> = Pin<Box<dyn Future<Output = TransactionState> + Send + 'c>>;

/// Any listener.
pub(super) trait Checks: Send + Sync {
    fn check<'c>(&'c self, message: &'c HalfMessage) -> Checking<'c>;
}

struct Listens<L>(Arc<L>);

impl<L: TransactionListener> Checks for Listens<L> {
    fn check<'c>(&'c self, message: &'c HalfMessage) -> Checking<'c> {
        Box::pin(self.0.check(message))
    }
}

/// Sends messages in transactions, in the name of a group: a cheap handle.
pub struct TransactionProducer<B: Backend, L> {
    producer: Producer<B>,
    inner: Arc<Inner<B>>,
    listener: Arc<L>,
    listening: Arc<Listening>,
}

/// Ends with the last handle.
struct Listening {
    groups: Arc<Groups>,
    group: Box<str>,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.groups.forget(&self.group, self.number);
    }
}

impl<B: Backend, L: TransactionListener> TransactionProducer<B, L> {
    pub(super) fn new(inner: Arc<Inner<B>>, producer: Producer<B>, listener: L) -> Self {
        let (listener, groups) = (Arc::new(listener), Arc::clone(&inner.groups));
        let group: Box<str> = inner.wire_name(producer.group()).into();
        let number = groups.listen(&group, Arc::new(Listens(Arc::clone(&listener))));
        let listening = Arc::new(Listening { groups, group, number });
        Self { producer, inner, listener, listening }
    }

    /// Who knows what became of transactions.
    #[must_use]
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// Stores a half message, has the listener do what it is about, and tells the broker the
    /// outcome.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the half message was not stored: nothing was done then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while the listener works drops its work, too; the broker asks later.
    pub async fn send_in_transaction(
        &self,
        message: impl Into<OutgoingMessage>,
    ) -> Result<TransactionReceipt, SendError> {
        let mut message = message.into();
        if message.is_alone() {
            let reason = "a transaction's message can't be delayed";
            return Err(SendError::refused(message.topic(), SendErrorKind::Topic { reason }));
        }
        let group = &*self.listening.group;
        let properties = [(keys::TRAN_MSG, "true"), (keys::PRODUCER_GROUP, group)];
        let half = self.producer.send_half(&mut message, &properties).await?;
        let state = match half.status {
            // The call itself may panic, too.
            SendStatus::Ok => caught(async { self.listener.execute(&message, &half).await }).await,
            // It may be lost.
            _ => TransactionState::Rollback,
        };
        let is_told = self.tell_end(&message, &half, state).await;
        Ok(TransactionReceipt { half, state, is_told })
    }

    async fn tell_end(
        &self,
        message: &Message,
        half: &SendReceipt,
        state: TransactionState,
    ) -> bool {
        let Some(stored) = half.offset_message_id else { return false };
        let (topic, id) = (self.inner.wire_name(message.topic()), half.message_id.to_string());
        let Some(peer) = self.inner.routes.broker(&topic, &half.broker) else { return false };
        let header = EndTransactionRequestHeader {
            topic: Some(Text::plain(&topic)),
            producer_group: Text::plain(&self.listening.group),
            tran_state_table_offset: half.offset,
            commit_log_offset: stored.physical_offset,
            commit_or_rollback: state.wire(),
            from_transaction_check: Some(false),
            msg_id: Text::plain(&id),
            transaction_id: Some(Text::plain(&id)),
            ..EndTransactionRequestHeader::default()
        };
        let timeout = Duration::from_micros(self.inner.config.send.timeout_us);
        peer.tell(request_code::END_TRANSACTION, &header, b"", timeout).await.is_ok()
    }
}

/// A panic means that nobody knows.
async fn caught(future: impl Future<Output = TransactionState>) -> TransactionState {
    let mut future = pin!(future);
    core::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => Poll::Ready(TransactionState::Unknown),
    })
    .await
}

/// A broker asks what became of a transaction: whoever knows is asked, and the broker told.
/// Nothing is said where nobody knows; the broker asks somebody else.
pub(super) async fn answer_check<B: Backend>(
    peer: &Peer<B>,
    link: &RemotingLink,
    groups: &Groups,
    frame: &Frame<'_>,
) {
    let Ok(asked) = CheckTransactionStateRequestHeader::decode(&frame.ext) else { return };
    let Ok((stored, _)) = StoredMessage::decode(frame.body) else { return };
    let Ok(properties) = stored.properties() else { return };
    let Some(group) = properties.get(keys::PRODUCER_GROUP) else { return };
    let Some(listener) = groups.listener(group) else { return };
    let Some(body) = restore(&stored) else { return };
    let message_id = properties.unique_key().unwrap_or_default();
    let half = HalfMessage {
        topic: WithoutNamespace(stored.topic).to_string(),
        body,
        message_id: message_id.into(),
        properties: properties.as_str().into(),
    };
    let state = caught(async { listener.check(&half).await }).await;
    let header = EndTransactionRequestHeader {
        topic: Some(Text::plain(stored.topic)),
        producer_group: Text::plain(group),
        tran_state_table_offset: asked.tran_state_table_offset,
        commit_log_offset: asked.commit_log_offset,
        commit_or_rollback: state.wire(),
        from_transaction_check: Some(true),
        msg_id: Text::plain(message_id),
        transaction_id: asked.transaction_id,
        ..EndTransactionRequestHeader::default()
    };
    // It asks again where this is lost.
    let _ = peer.tell_over(link, request_code::END_TRANSACTION, &header, b"");
}

/// The longest body that is restored for a check; brokers take none that is longer.
const BODY_BYTES_MAX: usize = 4 << 20;

fn restore(stored: &StoredMessage<'_>) -> Option<Vec<u8>> {
    if matches!(stored.sys_flag.compression(), Ok(None)) {
        return Some(stored.body.into());
    }
    let mut output = alloc::vec![0; BODY_BYTES_MAX];
    let len = BodyCodec::new().restore(stored.sys_flag, stored.body, &mut output).ok()?;
    output.truncate(len);
    Some(output)
}

impl<B: Backend, L> Clone for TransactionProducer<B, L> {
    fn clone(&self) -> Self {
        Self {
            producer: self.producer.clone(),
            inner: Arc::clone(&self.inner),
            listener: Arc::clone(&self.listener),
            listening: Arc::clone(&self.listening),
        }
    }
}

impl<B: Backend, L> fmt::Debug for TransactionProducer<B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionProducer").field("producer", &self.producer).finish()
    }
}
