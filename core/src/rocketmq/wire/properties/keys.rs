//! The keys of properties that mean something to brokers and clients.

/// Stands between the keys of [`KEYS`].
pub const KEY_SEPARATOR: char = ' ';

/// What the names of properties begin with that clients never send.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";

/// Whether users must not set a property of that name themselves.
///
/// ```
/// use turbopump_core::rocketmq::wire::properties::keys;
///
/// assert!(keys::is_reserved(keys::UNIQ_KEY));
/// assert!(!keys::is_reserved("colour"));
/// ```
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(TRANSIENT_PREFIX)
}

/// The tag.
pub const TAGS: &str = "TAGS";
/// Keys for the index, with one [`KEY_SEPARATOR`] between them.
pub const KEYS: &str = "KEYS";
/// Whether the sender waits until the message is safe.
pub const WAIT: &str = "WAIT";
/// The delay level.
pub const DELAY: &str = "DELAY";
/// The original topic of a message that is retried.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// The original topic of a delayed or half message.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// The original queue of a delayed or half message.
pub const REAL_QUEUE_ID: &str = "REAL_QID";
/// Marks a half message.
pub const TRAN_MSG: &str = "TRAN_MSG";
/// The producer group that is asked about a half message.
pub const PRODUCER_GROUP: &str = "PGROUP";
/// The queue's lowest offset when the message was pulled.
pub const MIN_OFFSET: &str = "MIN_OFFSET";
/// The queue's highest offset when the message was pulled.
pub const MAX_OFFSET: &str = "MAX_OFFSET";
/// Unused.
pub const BUYER_ID: &str = "BUYER_ID";
/// The offset message id of the first delivery.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Unused.
pub const TRANSFER_FLAG: &str = "TRANSFER_FLAG";
/// Unused.
pub const CORRECTION_FLAG: &str = "CORRECTION_FLAG";
/// Unused.
pub const MQ2_FLAG: &str = "MQ2_FLAG";
/// How often consuming has failed.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// The broker's region.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether the broker wants the message to be traced.
pub const TRACE_ON: &str = "TRACE_ON";
/// The id that the producer gave the message.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// More about the id.
pub const EXTEND_UNIQ_INFO: &str = "EXTEND_UNIQ_INFO";
/// How often consuming may fail.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// When the listener got the message.
pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
/// How many messages an inner batch holds.
pub const INNER_NUM: &str = "INNER_NUM";
/// The first queue offset of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// For checks of duplicates.
pub const DUP_INFO: &str = "DUP_INFO";
/// When a transaction is first asked about.
pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// The queue offset of the first half message.
pub const TRAN_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// The transaction.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// How often a transaction was asked about.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// The namespace.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Which request a reply belongs to.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Which client waits for the reply.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// How long it waits.
pub const TTL: &str = "TTL";
/// When a request arrived.
pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
/// When a reply was pushed.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// Whether the message is a reply.
pub const MSG_TYPE: &str = "MSG_TYPE";
/// The broker's cluster.
pub const CLUSTER: &str = "CLUSTER";
/// The receipt handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// The offset of a pop's checkpoint.
pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
/// When the message was popped first.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// What orders the message.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// The queue to forward to.
pub const FORWARD_QUEUE_ID: &str = "PROPERTY_FORWARD_QUEUE_ID";
/// Whether to forward.
pub const REDIRECT: &str = "REDIRECT";
/// Light queues, with commas between them.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// The offsets in light queues.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// A context for tracing.
pub const TRACE_CONTEXT: &str = "TRACE_CONTEXT";
/// A delay in seconds.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// A delay in milliseconds.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// A time of delivery.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// When a timer took the message.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When a timer let it go.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often a timer rolled it over.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// When a timer is to let it go.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// Which message's timer to delete.
pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
/// The level that a timer stands for.
pub const TIMER_DELAY_LEVEL: &str = "TIMER_DELAY_LEVEL";
/// The producer's address behind a proxy.
pub const BORN_HOST: &str = "__BORNHOST";
/// When the producer made the message, behind a proxy.
pub const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
/// The topic of a dead letter.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// The id of a dead letter.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// The CRC of the message.
pub const CRC32: &str = "__CRC32#";
/// A time of delivery, elsewhere.
pub const START_DELIVER_TIME: &str = "__STARTDELIVERTIME";

const RESERVED: [&str; 62] = [
    TAGS,
    KEYS,
    WAIT,
    DELAY,
    RETRY_TOPIC,
    REAL_TOPIC,
    REAL_QUEUE_ID,
    TRAN_MSG,
    PRODUCER_GROUP,
    MIN_OFFSET,
    MAX_OFFSET,
    BUYER_ID,
    ORIGIN_MESSAGE_ID,
    TRANSFER_FLAG,
    CORRECTION_FLAG,
    MQ2_FLAG,
    RECONSUME_TIME,
    MSG_REGION,
    TRACE_ON,
    UNIQ_KEY,
    EXTEND_UNIQ_INFO,
    MAX_RECONSUME_TIMES,
    CONSUME_START_TIME,
    INNER_NUM,
    INNER_BASE,
    DUP_INFO,
    CHECK_IMMUNITY_TIME_IN_SECONDS,
    TRAN_PREPARED_QUEUE_OFFSET,
    TRANSACTION_ID,
    TRANSACTION_CHECK_TIMES,
    INSTANCE_ID,
    CORRELATION_ID,
    REPLY_TO_CLIENT,
    TTL,
    ARRIVE_TIME,
    PUSH_REPLY_TIME,
    MSG_TYPE,
    CLUSTER,
    POP_CK,
    POP_CK_OFFSET,
    FIRST_POP_TIME,
    SHARDING_KEY,
    FORWARD_QUEUE_ID,
    REDIRECT,
    INNER_MULTI_DISPATCH,
    INNER_MULTI_QUEUE_OFFSET,
    TRACE_CONTEXT,
    TIMER_DELAY_SEC,
    TIMER_DELAY_MS,
    TIMER_DELIVER_MS,
    TIMER_ENQUEUE_MS,
    TIMER_DEQUEUE_MS,
    TIMER_ROLL_TIMES,
    TIMER_OUT_MS,
    TIMER_DEL_UNIQKEY,
    TIMER_DELAY_LEVEL,
    BORN_HOST,
    BORN_TIMESTAMP,
    DLQ_ORIGIN_TOPIC,
    DLQ_ORIGIN_MESSAGE_ID,
    CRC32,
    START_DELIVER_TIME,
];
