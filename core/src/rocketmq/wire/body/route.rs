//! Where topics are: routes, and the queues that follow from them.

use core::cmp::Ordering;

use super::{List, Map, TopicQueueMappingInfo};
use crate::rocketmq::wire::json::{JsonError, JsonProblem, Text};

/// The bit of [`QueueData::perm`] that lets producers write.
pub const PERM_WRITE: i32 = 2;
/// The bit of [`QueueData::perm`] that lets consumers read.
pub const PERM_READ: i32 = 4;
/// The id of a broker that takes messages.
pub const MASTER_ID: i64 = 0;

bodies! {
    /// The queues of a topic on one broker.
    QueueData<'a> {
        broker_name: Text<'a> = "brokerName",
        perm: i32 = "perm",
        read_queue_nums: i32 = "readQueueNums",
        topic_sys_flag: i32 = "topicSysFlag" | "topicSynFlag",
        write_queue_nums: i32 = "writeQueueNums",
    }

    /// A broker: its master and its slaves.
    BrokerData<'a> {
        /// Addresses by id, the master's is [`MASTER_ID`].
        broker_addrs: Map<'a, i64, Text<'a>> = "brokerAddrs",
        broker_name: Text<'a> = "brokerName",
        cluster: Option<Text<'a>> = "cluster",
        enable_acting_master: bool = "enableActingMaster",
        zone_name: Option<Text<'a>> = "zoneName",
    }

    /// The answer to request 105. To be written in the strict dialect for clients from 4.9.4 on.
    TopicRouteData<'a> {
        broker_datas: List<'a, BrokerData<'a>> = "brokerDatas",
        filter_server_table: Map<'a, Text<'a>, List<'a, Text<'a>>> = "filterServerTable",
        /// For ordered topics, `broker-a:4;broker-b:4`.
        order_topic_conf: Option<Text<'a>> = "orderTopicConf",
        queue_datas: List<'a, QueueData<'a>> = "queueDatas",
        topic_queue_mapping_by_broker: Option<Map<'a, Text<'a>, TopicQueueMappingInfo<'a>>> =
            "topicQueueMappingByBroker",
    }
}

impl<'a> BrokerData<'a> {
    /// The address of the broker with that id.
    ///
    /// # Errors
    ///
    /// [`JsonError`] where the addresses can't be read.
    pub fn address(&self, id: i64) -> Result<Option<Text<'a>>, JsonError> {
        for entry in self.broker_addrs.iter() {
            let (found, address) = entry?;
            if found == id {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }
}

/// A queue of a route: the broker's name, and the number there.
type Queue<'a> = (Text<'a>, i32);

impl<'a> TopicRouteData<'a> {
    /// The queues that producers may write to: those that the order of the topic names, or else
    /// all of brokers with a master, sorted by the broker's name.
    ///
    /// Nothing is copied, so each step looks for the next broker: quadratic in their number.
    ///
    /// # Errors
    ///
    /// An item is a [`JsonError`] where the route can't be read; it is the last then.
    pub fn publish_queues(&self) -> impl Iterator<Item = Result<Queue<'a>, JsonError>> {
        let route = *self;
        let order = self.order_topic_conf.filter(|order| !order.is_empty());
        let ordered = order.into_iter().flat_map(ordered_brokers);
        let unordered = order.is_none().then(|| BrokersByName::new(route.queue_datas));
        let unordered = unordered.into_iter().flatten();
        let unordered = unordered.filter_map(move |queues| publishable(&route, queues).transpose());
        ordered.chain(unordered).flat_map(numbered)
    }

    /// The queues that consumers may read, sorted by the broker's name; no master is needed.
    ///
    /// # Errors
    ///
    /// As [`publish_queues`](Self::publish_queues).
    pub fn subscribe_queues(&self) -> impl Iterator<Item = Result<Queue<'a>, JsonError>> {
        let brokers = BrokersByName::new(self.queue_datas);
        let readable = brokers.filter_map(|queues| match queues {
            Ok(queues) if queues.perm & PERM_READ == 0 => None,
            queues => Some(queues.map(|queues| (queues.broker_name, queues.read_queue_nums))),
        });
        readable.flat_map(numbered)
    }
}

/// The broker and its number of queues, if it can be written to.
fn publishable<'a>(
    route: &TopicRouteData<'a>,
    queues: Result<QueueData<'a>, JsonError>,
) -> Result<Option<Queue<'a>>, JsonError> {
    let queues = queues?;
    if queues.perm & PERM_WRITE == 0 {
        return Ok(None);
    }
    for broker in route.broker_datas.iter() {
        let broker = broker?;
        // As in Java, the first of that name counts; there is only one.
        if broker.broker_name == queues.broker_name {
            let master = broker.address(MASTER_ID)?;
            return Ok(master.map(|_| (queues.broker_name, queues.write_queue_nums)));
        }
    }
    Ok(None)
}

/// All queues of a broker.
fn numbered<'a>(
    broker: Result<Queue<'a>, JsonError>,
) -> impl Iterator<Item = Result<Queue<'a>, JsonError>> {
    let (queues, error) = match broker {
        Ok(queues) => (Some(queues), None),
        Err(error) => (None, Some(Err(error))),
    };
    let queues =
        queues.into_iter().flat_map(|(name, count)| (0..count).map(move |id| Ok((name, id))));
    queues.chain(error)
}

/// `broker:count` between semicolons.
fn ordered_brokers<'a>(order: Text<'a>) -> impl Iterator<Item = Result<Queue<'a>, JsonError>> {
    let refused = || {
        let expected = "the order of a topic, broker:count;...";
        JsonError { position: 0, problem: JsonProblem::Value { expected } }
    };
    let pairs = order.split(';').filter(|pair| !pair.is_empty());
    pairs.map(move |pair| {
        let mut parts = pair.split(':');
        let (Some(name), Some(count)) = (parts.next(), parts.next()) else { return Err(refused()) };
        let count = count.as_str().unwrap_or_default().parse().map_err(|_| refused());
        Ok((name, count?))
    })
}

/// The brokers of a topic, sorted by name.
struct BrokersByName<'a> {
    queues: List<'a, QueueData<'a>>,
    /// Name and place of the broker that was last.
    last: Option<(Text<'a>, usize)>,
    ended: bool,
}

impl<'a> BrokersByName<'a> {
    const fn new(queues: List<'a, QueueData<'a>>) -> Self {
        Self { queues, last: None, ended: false }
    }

    fn look_for_next(&self) -> Result<Option<(QueueData<'a>, usize)>, JsonError> {
        let mut found: Option<(QueueData<'a>, usize)> = None;
        for (index, queues) in self.queues.iter().enumerate() {
            let queues = queues?;
            let here = (queues.broker_name, index);
            let is_new = self.last.is_none_or(|last| by_name(last, here).is_lt());
            let is_first =
                found.is_none_or(|(found, at)| by_name(here, (found.broker_name, at)).is_lt());
            if is_new && is_first {
                found = Some((queues, index));
            }
        }
        Ok(found)
    }
}

fn by_name(one: (Text<'_>, usize), other: (Text<'_>, usize)) -> Ordering {
    one.0.chars().cmp(other.0.chars()).then(one.1.cmp(&other.1))
}

impl<'a> Iterator for BrokersByName<'a> {
    type Item = Result<QueueData<'a>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.look_for_next() {
            Ok(Some((queues, index))) => {
                self.last = Some((queues.broker_name, index));
                Some(Ok(queues))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}
