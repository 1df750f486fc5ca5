use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use turbopump_core::compress::{Compress, Deflate, Format};
use turbopump_core::rocketmq::wire::frame::encode;
use turbopump_core::rocketmq::wire::header::{
    Absent, ExtSource, Header, Serialization, request_code,
};

use super::registration::body_crc;
use super::*;
use crate::broker::machine::kit::{Got, frames_of};

struct Peers {
    server: NameServer,
    now: Now,
    version: i32,
}

impl Peers {
    fn new() -> Self {
        Self::with(NameServerConfig::default())
    }

    fn with(config: NameServerConfig) -> Self {
        let now = Now::new(Instant::from_ms(1_000), 1_700_000_000_000);
        Self { server: NameServer::new(config), now, version: 0 }
    }

    fn connect(&mut self) -> SessionId {
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        self.server.handle_opened(self.now, peer).unwrap()
    }

    fn advance_ms(&mut self, ms: u64) {
        let at = self.now.at.plus_us(ms * 1_000);
        self.now = Now::new(at, self.now.unix_ms + ms);
        self.server.handle_timeout(self.now);
        assert!(self.server.poll_timeout().is_none_or(|next| next > at));
    }

    #[track_caller]
    fn ask(&mut self, id: SessionId, code: i32, ext: &impl ExtSource, body: &[u8]) -> Got {
        let mut header = Header::request(code, 7);
        header.version = self.version;
        let mut memory = vec![0; 64 * 1024 + body.len()];
        let len = encode(&header, Serialization::Json, ext, body, &mut memory).unwrap();
        assert_eq!(self.server.handle_bytes(self.now, id, &memory[..len]), Ok(len));
        let mut bytes = Vec::new();
        loop {
            let mut chunks = Chunks::new();
            self.server.poll_transmit(id, &mut chunks);
            if chunks.is_empty() {
                break;
            }
            chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        }
        frames_of(&bytes).pop().unwrap_or_else(|| panic!("request {code} is not answered"))
    }

    #[track_caller]
    fn register(
        &mut self,
        id: SessionId,
        name: &str,
        number: &str,
        address: &str,
        topics: &[&str],
    ) -> Got {
        let body = plain_body(topics, 1);
        let crc = body_crc(&body).to_string();
        let fields = [
            ("brokerName", name),
            ("brokerAddr", address),
            ("clusterName", "C"),
            ("haServerAddr", "10.0.0.9:10912"),
            ("brokerId", number),
            ("heartbeatTimeoutMillis", "30000"),
            ("compressed", "false"),
            ("bodyCrc32", &*crc),
        ];
        self.ask(id, request_code::REGISTER_BROKER, &fields, &body)
    }

    #[track_caller]
    fn route(&mut self, id: SessionId, topic: &str) -> Got {
        self.ask(id, request_code::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], &[])
    }
}

fn plain_body(topics: &[&str], counter: i64) -> Vec<u8> {
    let topics: Vec<String> = topics
        .iter()
        .map(|topic| {
            alloc::format!(
                concat!(
                    r#""{topic}":{{"attributes":{{}},"order":false,"perm":6,"readQueueNums":8,"#,
                    r#""topicFilterType":"SINGLE_TAG","topicName":"{topic}","topicSysFlag":0,"#,
                    r#""writeQueueNums":4}}"#
                ),
                topic = topic
            )
        })
        .collect();
    let version =
        alloc::format!(r#"{{"counter":{counter},"stateVersion":0,"timestamp":1700000000000}}"#);
    let table = topics.join(",");
    let body = alloc::format!(
        concat!(
            r#"{{"filterServerList":[],"topicConfigSerializeWrapper":{{"dataVersion":{version},"#,
            r#""mappingDataVersion":{version},"topicConfigTable":{{{table}}},"#,
            r#""topicQueueMappingDetailMap":{{}},"topicQueueMappingInfoMap":{{}}}}}}"#
        ),
        version = version,
        table = table
    );
    body.into_bytes()
}

#[test]
fn routes_are_merged_over_brokers() {
    let mut peers = Peers::new();
    let (a, b, client) = (peers.connect(), peers.connect(), peers.connect());
    assert_eq!(peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]).code, 0);
    let route = peers.route(client, "T");
    // The shape of the golden vectors.
    let loose = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"b-0","cluster":"C","#,
        r#""enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b-0","#,
        r#""perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":4}]}"#
    );
    assert_eq!((route.code, route.text()), (0, loose));
    peers.version = 401;
    let strict = loose.replace("{0:", "{\"0\":");
    assert_eq!(peers.route(client, "T").text(), strict);
    peers.version = 0;
    let fields = [("topic", "T"), ("acceptStandardJsonOnly", "true")];
    let got = peers.ask(client, request_code::GET_ROUTEINFO_BY_TOPIC, &fields, &[]);
    assert_eq!(got.text(), strict);

    assert_eq!(peers.register(b, "b-1", "0", "10.0.0.2:10911", &["T", "V"]).code, 0);
    let route = peers.route(client, "T");
    assert!(route.text().contains("b-0") && route.text().contains("b-1"), "{route:?}");
    let got = peers.ask(client, request_code::GET_BROKER_CLUSTER_INFO, &Absent, &[]);
    let cluster = concat!(
        r#"{"brokerAddrTable":{"b-0":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"b-0","#,
        r#""cluster":"C","enableActingMaster":false},"b-1":{"brokerAddrs":{0:"10.0.0.2:10911"},"#,
        r#""brokerName":"b-1","cluster":"C","enableActingMaster":false}},"#,
        r#""clusterAddrTable":{"C":["b-0","b-1"]}}"#
    );
    assert_eq!(got.text(), cluster);
    let got = peers.ask(client, request_code::GET_TOPICS_BY_CLUSTER, &[("cluster", "C")], &[]);
    assert_eq!(got.text(), r#"{"topicList":["T","U","V"]}"#);
    let got = peers.ask(client, request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS, &Absent, &[]);
    let system = r#"{"brokerAddr":"10.0.0.1:10911","topicList":["C","b-0","b-1"]}"#;
    assert_eq!(got.text(), system);

    peers.server.handle_closed(peers.now, b, CloseReason::Peer);
    assert_eq!(peers.route(client, "V").code, 17);
    assert!(!peers.route(client, "T").text().contains("b-1"));
    assert_eq!((peers.server.brokers(), peers.server.routes()), (1, 2));
}

#[test]
fn a_first_registration_with_one_topic_is_refused() {
    let mut peers = Peers::new();
    let a = peers.connect();
    let got = peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T"]);
    assert_eq!(got.code, 1);
    assert!(got.remark.contains("register all topics"), "{got:?}");
    assert_eq!(peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]).code, 0);
    assert_eq!(peers.register(a, "b-0", "0", "10.0.0.1:10911", &["V"]).code, 0);
    assert_eq!(peers.route(a, "V").code, 0);
}

#[test]
fn bodies_are_checked_and_inflated() {
    let mut peers = Peers::new();
    let a = peers.connect();
    let fields = |crc: &'static str, compressed: &'static str| {
        [
            ("brokerName", "b-0"),
            ("brokerAddr", "10.0.0.1:10911"),
            ("clusterName", "C"),
            ("haServerAddr", ""),
            ("brokerId", "0"),
            ("compressed", compressed),
            ("bodyCrc32", crc),
        ]
    };
    let code = request_code::REGISTER_BROKER;
    let got = peers.ask(a, code, &fields("1", "false"), &plain_body(&["T", "U"], 1));
    assert_eq!((got.code, &*got.remark), (1, "register broker failed: crc32 not match"));

    let version = r#"{"counter":7,"stateVersion":0,"timestamp":1700000000000}"#;
    let mut plain = Vec::new();
    let counted = |plain: &mut Vec<u8>, text: &str| {
        plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
        plain.extend_from_slice(text.as_bytes());
    };
    counted(&mut plain, version);
    plain.extend_from_slice(&2_000_i32.to_be_bytes());
    (0..2_000).for_each(|n| counted(&mut plain, &alloc::format!("T{n} 8 4 6 SINGLE_TAG {{}}")));
    counted(&mut plain, "[]");
    plain.extend_from_slice(&[0; 4]);
    let mut body = vec![0; plain.len()];
    let len = Deflate::new(Format::Zlib, 9).unwrap().compress(&plain, &mut body).unwrap();
    let got = peers.ask(a, code, &fields("0", "true"), &body[..len]);
    assert_eq!(got.code, 0, "{got:?}");
    assert_eq!((peers.route(a, "T1999").code, peers.server.routes()), (0, 2_000));
    let got = peers.ask(a, code, &fields("0", "true"), &body[..len - 9]);
    assert_eq!(got.code, 1);
    let got = peers.ask(a, code, &fields("0", "true"), b"no zlib");
    assert_eq!(got.code, 1);

    // A bomb costs no more than a frame.
    let config = NameServerConfig { frame_bytes_max: 4_096, ..NameServerConfig::default() };
    let mut peers = Peers::with(config);
    let a = peers.connect();
    let mut bomb = vec![0; 2_048];
    let zeros = vec![0; 1 << 20];
    let len = Deflate::new(Format::Zlib, 9).unwrap().compress(&zeros, &mut bomb).unwrap();
    let got = peers.ask(a, code, &fields("0", "true"), &bomb[..len]);
    assert_eq!(got.code, 1, "{got:?}");
}

#[test]
fn brokers_expire_unless_they_are_heard_of() {
    let mut peers = Peers::new();
    let a = peers.connect();
    peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    let who = [
        ("brokerName", "b-0"),
        ("brokerAddr", "10.0.0.1:10911"),
        ("clusterName", "C"),
        ("brokerId", "0"),
    ];
    peers.advance_ms(20_000);
    assert_eq!(peers.ask(a, request_code::BROKER_HEARTBEAT, &who, &[]).code, 0);
    peers.advance_ms(20_000);
    assert_eq!(peers.route(a, "T").code, 0);
    let version = br#"{"counter":1,"stateVersion":0,"timestamp":1700000000000}"#;
    let got = peers.ask(a, request_code::QUERY_DATA_VERSION, &who, version);
    assert_eq!((got.field("changed"), &*got.body), ("false", &version[..]));
    let other = br#"{"counter":2,"stateVersion":0,"timestamp":1700000000000}"#;
    let got = peers.ask(a, request_code::QUERY_DATA_VERSION, &who, other);
    assert_eq!((got.field("changed"), &*got.body), ("true", &version[..]));
    peers.advance_ms(29_999);
    assert_eq!(peers.route(a, "T").code, 0);
    peers.advance_ms(2);
    assert_eq!(peers.route(a, "T").code, 17);
    assert_eq!(peers.server.counts().brokers_lost, 1);
    // What is not known has changed.
    let got = peers.ask(a, request_code::QUERY_DATA_VERSION, &who, version);
    assert_eq!((got.field("changed"), got.body.len()), ("true", 0));

    peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    assert_eq!(peers.ask(a, request_code::UNREGISTER_BROKER, &who, &[]).code, 0);
    assert_eq!((peers.server.brokers(), peers.server.routes()), (0, 0));
}

#[test]
fn slaves_are_told_of_their_master() {
    let mut peers = Peers::new();
    let (a, b) = (peers.connect(), peers.connect());
    peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    let got = peers.register(b, "b-0", "1", "10.0.0.2:10911", &["T", "U"]);
    assert_eq!((got.field("masterAddr"), got.field("haServerAddr")), {
        ("10.0.0.1:10911", "10.0.0.9:10912")
    });
    let addresses = r#"{0:"10.0.0.1:10911",1:"10.0.0.2:10911"}"#;
    assert!(peers.route(a, "T").text().contains(addresses));
    let fields = [("clusterName", "C"), ("brokerName", "b-0")];
    let got = peers.ask(a, request_code::GET_BROKER_MEMBER_GROUP, &fields, &[]);
    let group = alloc::format!(
        r#"{{"brokerMemberGroup":{{"brokerAddrs":{addresses},"brokerName":"b-0","cluster":"C"}}}}"#
    );
    assert_eq!(got.text(), group);
    // The slave becomes the master, under its own address.
    peers.register(b, "b-0", "0", "10.0.0.2:10911", &["T", "U"]);
    assert!(peers.route(a, "T").text().contains(r#""brokerAddrs":{0:"10.0.0.2:10911"}"#));
    // The old one goes without taking the new one along.
    peers.server.handle_closed(peers.now, a, CloseReason::Peer);
    assert_eq!((peers.route(b, "T").code, peers.server.brokers()), (0, 1));
}

#[test]
fn permissions_settings_and_topics_are_changed() {
    let mut peers = Peers::new();
    let a = peers.connect();
    peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    let name = [("brokerName", "b-0")];
    let got = peers.ask(a, request_code::WIPE_WRITE_PERM_OF_BROKER, &name, &[]);
    assert_eq!(got.field("wipeTopicCount"), "2");
    // It stays so while the broker has nothing new to say.
    peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    assert!(peers.route(a, "T").text().contains(r#""perm":4"#));
    let got = peers.ask(a, request_code::ADD_WRITE_PERM_OF_BROKER, &name, &[]);
    assert_eq!(got.field("addTopicCount"), "2");
    assert!(peers.route(a, "T").text().contains(r#""perm":6"#));

    let key = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T")];
    assert_eq!(peers.ask(a, request_code::GET_KV_CONFIG, &key, &[]).code, 22);
    let put = [key[0], key[1], ("value", "b-0:4")];
    assert_eq!(peers.ask(a, request_code::PUT_KV_CONFIG, &put, &[]).code, 0);
    assert_eq!(peers.ask(a, request_code::GET_KV_CONFIG, &key, &[]).field("value"), "b-0:4");
    let got = peers.ask(a, request_code::GET_KVLIST_BY_NAMESPACE, &[key[0]], &[]);
    assert_eq!(got.text(), r#"{"table":{"T":"b-0:4"}}"#);
    assert!(peers.route(a, "T").text().contains(r#""orderTopicConf":"b-0:4""#));
    let got = peers.register(a, "b-0", "0", "10.0.0.1:10911", &["T", "U"]);
    assert_eq!(got.text(), r#"{"table":{"T":"b-0:4"}}"#);
    assert_eq!(peers.ask(a, request_code::DELETE_KV_CONFIG, &key, &[]).code, 0);
    assert_eq!(peers.ask(a, request_code::GET_KV_CONFIG, &key, &[]).code, 22);

    let route = peers.route(a, "T").body;
    let topic = [("topic", "W")];
    assert_eq!(peers.ask(a, request_code::REGISTER_TOPIC_IN_NAMESRV, &topic, &route).code, 0);
    assert_eq!(peers.route(a, "W").code, 0);
    let other = [("topic", "W"), ("clusterName", "D")];
    assert_eq!(peers.ask(a, request_code::DELETE_TOPIC_IN_NAMESRV, &other, &[]).code, 0);
    assert_eq!(peers.route(a, "W").code, 0);
    assert_eq!(peers.ask(a, request_code::DELETE_TOPIC_IN_NAMESRV, &topic, &[]).code, 0);
    assert_eq!((peers.route(a, "W").code, peers.server.routes()), (17, 2));
    let got = peers.ask(a, request_code::UPDATE_NAMESRV_CONFIG, &Absent, b"x=1\n");
    assert!(got.code == 16 && got.remark.contains("[x]"), "{got:?}");
    let got = peers.ask(a, request_code::GET_NAMESRV_CONFIG, &Absent, &[]);
    assert!(got.text().contains("heartbeatTimeoutMillis=120000\n"), "{got:?}");
}

#[test]
fn everything_is_bounded() {
    let config = NameServerConfig {
        brokers_max: 2,
        routes_max: 6,
        connections_max: 1,
        ..Default::default()
    };
    let mut peers = Peers::with(config);
    let a = peers.connect();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    assert_eq!(peers.server.handle_opened(peers.now, peer), None);
    assert_eq!(peers.register(a, "b-0", "0", "10.0.0.1:1", &["T", "U"]).code, 0);
    assert_eq!(peers.register(a, "b-1", "0", "10.0.0.1:2", &["T", "U", "V", "W", "X"]).code, 1);
    assert_eq!(peers.register(a, "b-1", "0", "10.0.0.1:2", &["T", "U"]).code, 0);
    assert_eq!(peers.register(a, "b-2", "0", "10.0.0.1:3", &["T", "U"]).code, 1);
    // One address that calls itself something else again and again is one broker.
    for n in 0..10 {
        let name = alloc::format!("c-{n}");
        assert_eq!(peers.register(a, &name, "0", "10.0.0.1:2", &["T", "U"]).code, 0);
    }
    assert_eq!((peers.server.brokers(), peers.server.routes()), (2, 4));
    let got = peers.ask(a, request_code::GET_BROKER_CLUSTER_INFO, &Absent, &[]);
    assert_eq!(got.text().matches("brokerName").count(), 2);
    assert!(peers.register(a, &"n".repeat(256), "0", "10.0.0.1:1", &["T", "U"]).code == 1);
}

#[test]
fn who_says_nothing_is_closed() {
    let mut peers = Peers::new();
    let (a, b) = (peers.connect(), peers.connect());
    peers.advance_ms(60_000);
    peers.route(a, "T");
    peers.advance_ms(60_001);
    assert_eq!(peers.server.poll_close(a), None);
    assert_eq!(peers.server.poll_close(b), Some(CloseReason::Local));
    peers.advance_ms(60_000);
    assert_eq!(peers.server.poll_close(a), Some(CloseReason::Local));
    assert_eq!(peers.server.counts().connections_idle, 2);
}

/// Requests without fields and body are answered, whatever they ask for.
#[test]
fn empty_requests_are_refused_or_granted() {
    let mut peers = Peers::new();
    let a = peers.connect();
    for code in (0..1_100).chain(3_000..3_020).chain(200_050..200_160) {
        for body in [&b""[..], b"{", b"\xff\xff", b"[1]"] {
            let got = peers.ask(a, code, &Absent, body);
            assert!(got.code == 0 || !got.remark.is_empty(), "{code}: {got:?}");
        }
    }
    assert_eq!(peers.server.connections(), 1);
}
