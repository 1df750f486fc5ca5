//! What the broker tells a name server that stands apart, every 30 seconds and on each change.
//!
//! Decides what is in a registration. When it is sent, and to whom, is left to the shell.

use core::time::Duration;

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::body::{
    DataVersion, List, MASTER_ID, Map, RegisterBrokerBody, TopicConfig,
    TopicConfigAndMappingSerializeWrapper, TopicFilterType,
};
use turbopump_core::rocketmq::wire::command::{
    RegisterBrokerRequestHeader, UnRegisterBrokerRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::{FRAME_BYTES_MAX, encode};
use turbopump_core::rocketmq::wire::header::{
    EncodeError, ExtSource, Header, Serialization, request_code,
};
use turbopump_core::rocketmq::wire::json::{Dialect, Text};

use super::topics::Topic;
use super::{Broker, Notice};
use crate::broker::answers::json;
use crate::broker::name_server::registration::body_crc;

/// A broker registers again after so long, even if nothing has changed.
pub const REGISTER_PERIOD: Duration = Duration::from_secs(30);
/// A name server forgets it after so long.
const HEARTBEAT_TIMEOUT_MS: i64 = 120_000;

/// What a broker says about itself to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Grows with each change of the topics: register again once
    /// [`Broker::registration_version`] is another one.
    pub version: u64,
    cluster: String,
    name: String,
    address: String,
    body: Vec<u8>,
}

impl Registration {
    /// The request that registers the broker.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] where all topics together are too long for a frame.
    pub fn frame(&self, opaque: i32) -> Result<Vec<u8>, EncodeError> {
        let header = RegisterBrokerRequestHeader {
            broker_name: Text::plain(&self.name),
            broker_addr: Text::plain(&self.address),
            cluster_name: Text::plain(&self.cluster),
            // There are no slaves that would ask there.
            ha_server_addr: Text::plain(&self.address),
            broker_id: MASTER_ID,
            heartbeat_timeout_millis: Some(HEARTBEAT_TIMEOUT_MS),
            enable_acting_master: Some(false),
            compressed: false,
            body_crc32: Some(body_crc(&self.body)),
        };
        frame(request_code::REGISTER_BROKER, opaque, &header, &self.body)
    }

    /// The request that takes the broker away, when it stops.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] where names are too long for a frame.
    pub fn farewell(&self, opaque: i32) -> Result<Vec<u8>, EncodeError> {
        let header = UnRegisterBrokerRequestHeader {
            broker_name: Text::plain(&self.name),
            broker_addr: Text::plain(&self.address),
            cluster_name: Text::plain(&self.cluster),
            broker_id: MASTER_ID,
        };
        frame(request_code::UNREGISTER_BROKER, opaque, &header, &[])
    }
}

fn frame(
    code: i32,
    opaque: i32,
    ext: &impl ExtSource,
    body: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    let header = Header::request(code, opaque);
    let mut memory = alloc::vec![0; body.len().saturating_add(4_096).min(FRAME_BYTES_MAX)];
    let len = encode(&header, Serialization::Json, ext, body, &mut memory)?;
    memory.truncate(len);
    Ok(memory)
}

impl Broker {
    /// A name server knows this broker, or does not, for a reason.
    pub fn handle_registered(&mut self, name_server: String, failure: Option<String>) {
        match failure {
            None => self.counts.registrations += 1,
            Some(_) => self.counts.registration_failures += 1,
        }
        self.note(Notice::Registered { name_server, failure });
    }

    /// What this broker tells a name server that stands apart.
    #[must_use]
    pub fn registration(&self) -> Registration {
        let topics: Vec<(Text<'_>, TopicConfig<'_>)> = self
            .topics_by_name()
            .into_iter()
            .map(|topic| (Text::plain(&topic.name), topic_config(topic)))
            .collect();
        let version = self.topics_version();
        let wrapper = TopicConfigAndMappingSerializeWrapper {
            data_version: Some(version),
            mapping_data_version: Some(DataVersion { counter: 0, ..version }),
            topic_config_table: (&*topics).into(),
            topic_queue_mapping_detail_map: Map::default(),
            topic_queue_mapping_info_map: Map::default(),
        };
        let body = RegisterBrokerBody {
            filter_server_list: List::default(),
            topic_config_serialize_wrapper: wrapper,
        };
        Registration {
            version: self.topics.version,
            cluster: self.config.cluster_name.clone(),
            name: self.config.broker_name.clone(),
            address: alloc::format!("{}", self.host),
            body: json(&body, Dialect::Fastjson),
        }
    }

    /// The version that a [`registration`](Self::registration) would have now.
    #[must_use]
    pub const fn registration_version(&self) -> u64 {
        self.topics.version
    }

    /// Which change of the topics this is; another start is another version.
    pub(super) const fn topics_version(&self) -> DataVersion {
        self.version(self.topics.version)
    }

    /// The same for groups.
    pub(super) const fn groups_version(&self) -> DataVersion {
        self.version(self.groups.version)
    }

    const fn version(&self, counter: u64) -> DataVersion {
        let timestamp = self.figures.started.unix_ms as i64;
        DataVersion { counter: counter as i64, state_version: 0, timestamp }
    }
}

/// A topic, as administrators and name servers read it.
pub(super) fn topic_config(topic: &Topic) -> TopicConfig<'_> {
    let settings = &topic.settings;
    TopicConfig {
        attributes: Map::default(),
        order: settings.is_ordered,
        perm: settings.perm,
        read_queue_nums: i32::try_from(settings.read_queues).unwrap_or(i32::MAX),
        topic_filter_type: TopicFilterType::from_name(&settings.filter_type),
        topic_name: Text::plain(&topic.name),
        topic_sys_flag: settings.sys_flag,
        write_queue_nums: i32::try_from(settings.write_queues).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use turbopump_core::link::Chunks;
    use turbopump_core::rocketmq::wire::header::request_code::GET_ROUTEINFO_BY_TOPIC;
    use turbopump_core::time::{Instant, Now};

    use super::*;
    use crate::broker::machine::kit::{Got, Kit, frames_of};
    use crate::broker::name_server::{NameServer, NameServerConfig};

    fn tell(server: &mut NameServer, frame: &[u8]) -> Got {
        let now = Now::new(Instant::from_ms(5), 1_700_000_000_000);
        let id = server.handle_opened(now, SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
        assert_eq!(server.handle_bytes(now, id, frame), Ok(frame.len()));
        let mut chunks = Chunks::new();
        server.poll_transmit(id, &mut chunks);
        let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.to_vec()).collect();
        frames_of(&bytes).pop().unwrap()
    }

    #[test]
    fn our_name_server_takes_our_registration() {
        let mut kit = Kit::new();
        let client = kit.connect();
        let before = kit.broker.registration();
        assert_eq!(before.version, kit.broker.registration_version());
        kit.produce(client, "Orders", 0, "hello", &[]);
        let registration = kit.broker.registration();
        assert!(registration.version > before.version);
        let mut server = NameServer::new(NameServerConfig::default());
        assert_eq!(tell(&mut server, &registration.frame(7).unwrap()).code, 0);
        let topics = kit.broker.topic_names().len();
        assert_eq!((server.brokers(), server.routes()), (1, topics));
        // The route is the one that the broker itself gives.
        let ask = frame(GET_ROUTEINFO_BY_TOPIC, 8, &[("topic", "Orders")], &[]).unwrap();
        let apart = tell(&mut server, &ask);
        let together = kit.ask(client, GET_ROUTEINFO_BY_TOPIC, &[("topic", "Orders")], &[]);
        assert_eq!((apart.code, apart.text()), (0, together.text()));
        assert_eq!(tell(&mut server, &registration.farewell(9).unwrap()).code, 0);
        assert_eq!(server.brokers(), 0);
    }
}
