//! What must be true of every run, whatever has gone wrong in it.

use alloc::collections::BTreeMap;
use core::fmt;

use turbopump_core::rocketmq::engine;
use turbopump_std::client::{SendError, SendReceipt};

use super::backend::{Left, Stuck};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The run did not come to its end.
    Stuck(Stuck),
    /// A message was acknowledged, and is not where it should be.
    NotThere {
        /// Its body begins with this.
        body: String,
        /// Where it should be, and what is there.
        place: String,
    },
    /// Something is stored that nobody has sent.
    Unknown(String),
    /// A message is stored of which the client was sure that it is not.
    Denied(String),
    /// An outcome was told so often.
    Told {
        /// Of this message.
        body: String,
        /// So often.
        times: u32,
    },
    /// An outcome came after the deadline.
    TooLate {
        /// Of this message.
        body: String,
        /// After so many microseconds.
        after_us: u64,
    },
    /// Messages of one key are not in the order in which they were sent.
    Order {
        /// The key.
        key: String,
        /// What was found.
        found: String,
    },
    /// Nothing goes wrong any more, and a message can't be sent.
    NotHealed(String),
    /// Memory, permits, connections, tasks or timers are left when all has ended.
    Left(String),
    /// A broker has never got a message.
    Idle(String),
    /// Some kind of fault has not hit anybody.
    FaultMissed(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What became of one message, as its sender sees it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) body: String,
    /// What its order goes by.
    pub(super) key: Option<String>,
    pub(super) begun_us: u64,
    pub(super) ended_us: u64,
    pub(super) told: u32,
    pub(super) end: End,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Open,
    Taken(Place),
    /// Sent without asking for an answer.
    Handed,
    /// Not sent; whether it may be there all the same.
    Failed {
        maybe_sent: bool,
        why: String,
    },
}

/// Where a message should be.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) broker: String,
    pub(super) queue: i32,
    pub(super) offset: i64,
    pub(super) id: String,
}

impl End {
    /// The same of a device's message, whose broker has this name.
    pub(super) fn of_device(
        outcome: Result<engine::Placed, engine::SendError>,
        broker: Option<&str>,
    ) -> Self {
        match outcome {
            Ok(placed) => Self::Taken(Place {
                broker: broker.unwrap_or_default().to_owned(),
                queue: placed.queue,
                offset: placed.offset,
                id: placed.message_id.to_string(),
            }),
            Err(error) => Self::Failed { maybe_sent: error.maybe_sent, why: error.to_string() },
        }
    }

    pub(super) fn of(outcome: Result<SendReceipt, SendError>) -> Self {
        match outcome {
            Ok(receipt) => Self::Taken(Place {
                broker: String::from(&*receipt.broker),
                queue: receipt.queue,
                offset: receipt.offset,
                id: receipt.message_id.to_string(),
            }),
            Err(error) => {
                let (maybe_sent, why) = (error.maybe_sent(), error.to_string());
                Self::Failed { maybe_sent, why }
            }
        }
    }
}

/// What is in the queues: by broker and number.
pub(super) type Stored = BTreeMap<(String, i32), Vec<(String, String)>>;

/// How much later than its deadline an outcome may come: for what is under way at that time.
const SLACK_US: u64 = 50_000;

pub(super) fn check_outcomes(records: &[Record], timeout_us: u64) -> Result<(), Violation> {
    for record in records {
        let body = start_of(&record.body);
        if record.told != 1 {
            return Err(Violation::Told { body, times: record.told });
        }
        let after_us = record.ended_us.saturating_sub(record.begun_us);
        if after_us > timeout_us + SLACK_US {
            return Err(Violation::TooLate { body, after_us });
        }
    }
    Ok(())
}

pub(super) fn check_stored(records: &[Record], stored: &Stored) -> Result<(), Violation> {
    let by_body: BTreeMap<&str, &Record> =
        records.iter().map(|record| (record.body.as_str(), record)).collect();
    for (body, _) in stored.values().flatten() {
        let Some(record) = by_body.get(body.as_str()) else {
            return Err(Violation::Unknown(start_of(body)));
        };
        if let End::Failed { maybe_sent: false, why } = &record.end {
            return Err(Violation::Denied(format!("{}: {why}", start_of(body))));
        }
    }
    for record in records {
        let End::Taken(receipt) = &record.end else { continue };
        let queue = (receipt.broker.clone(), receipt.queue);
        let found = usize::try_from(receipt.offset).ok();
        let found = found.and_then(|offset| stored.get(&queue)?.get(offset));
        let is_it = found.is_some_and(|(body, id)| *body == record.body && *id == receipt.id);
        if !is_it {
            let found = found.map(|(body, _)| start_of(body));
            let place = format!("{queue:?} at {}: {found:?}", receipt.offset);
            return Err(Violation::NotThere { body: start_of(&record.body), place });
        }
    }
    Ok(())
}

/// Messages of one key, each sent when the one before had its outcome.
pub(super) fn check_order(records: &[Record]) -> Result<(), Violation> {
    let mut keys: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for record in records {
        if let (Some(key), End::Taken(receipt)) = (&record.key, &record.end) {
            keys.entry(key).or_default().push(receipt);
        }
    }
    for (key, receipts) in keys {
        for pair in receipts.windows(2) {
            let [before, after] = pair else { continue };
            let is_same = before.broker == after.broker && before.queue == after.queue;
            if !is_same || before.offset >= after.offset {
                let place = |one: &Place| (one.broker.clone(), one.queue, one.offset);
                let found = format!("{:?} before {:?}", place(before), place(after));
                return Err(Violation::Order { key: key.into(), found });
            }
        }
    }
    Ok(())
}

pub(super) fn check_left(left: Left) -> Result<(), Violation> {
    if left == Left::default() { Ok(()) } else { Err(Violation::Left(format!("{left:?}"))) }
}

fn start_of(body: &str) -> String {
    body.chars().take(24).collect()
}
