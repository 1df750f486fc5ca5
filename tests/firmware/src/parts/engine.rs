//! A producer of RocketMQ, all of it in memory that was there before: a message goes from a name
//! server to a broker, both of which are played here.

use turbopump_core::link::{Chunks, Machine, RequestConfig, RequestPlace, RequestStorage, Requests};
use turbopump_core::pool::{ClassLayout, Layout, StaticPool};
use turbopump_core::rocketmq::engine::{
    Action, BrokerPlace, Engine, EngineConfig, LinkPlace, Outgoing, QueuePlace, SendPlace, Storage,
    TopicPlace,
};
use turbopump_core::rocketmq::remoting::Remoting;
use turbopump_core::rocketmq::wire::frame::{Frame, encode};
use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};
use turbopump_core::time::{Instant, Now};

use cortex_m_semihosting::hprintln;

use crate::check::{Checks, check, must};

const ROUTE: &[u8] = br#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.5:10911"},"brokerName":"b"}],
    "queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":2,"writeQueueNums":2}]}"#;

const CLASSES: [ClassLayout; 2] = [ClassLayout::new(256, 4), ClassLayout::new(512, 5)];
const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
static POOL: StaticPool<
    { LAYOUT.classes_len() },
    { LAYOUT.slots_len() },
    { LAYOUT.bytes_len() },
> = StaticPool::new();

/// The codes of what a link has to write, each answered by its peer.
fn answer<M: Machine>(machine: &mut M, now: Now, codes: &mut [i32; 4]) -> usize {
    let mut memory = [0; 640];
    let (mut chunks, mut len, mut asked) = (Chunks::new(), 0, 0);
    machine.poll_transmit(now, &mut chunks);
    for chunk in chunks.iter() {
        memory[len..len + chunk.len()].copy_from_slice(chunk);
        len += chunk.len();
    }
    machine.handle_written(now, len);
    let mut rest = &memory[..len];
    while let [a, b, c, d, ..] = rest {
        let (frame, behind) = rest.split_at(4 + u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        let Ok(frame) = Frame::decode(frame) else { panic!("it is a frame") };
        codes[asked] = frame.header.code;
        (rest, asked) = (behind, asked + 1);
        let header = Header::response(0, frame.header.opaque, None);
        let fields = [("msgId", "0A0000050000 2A9F"), ("queueId", "1"), ("queueOffset", "7")];
        let is_route = frame.header.code == request_code::GET_ROUTEINFO_BY_TOPIC;
        let (body, fields) = if is_route { (ROUTE, &fields[..0]) } else { (&[][..], &fields[..]) };
        let mut said = [0; 512];
        let len = must(encode(&header, Serialization::Json, fields, body, &mut said));
        let Ok(received) = machine.handle_bytes(now, &said[..len]) else { panic!("an answer") };
        assert!(received.consumed == len);
    }
    asked
}

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let pool = must(POOL.init(&LAYOUT));
    let mut places = [const { [const { RequestPlace::new() }; 4] }; 2];
    let mut outgoing = [const { [const { None }; 4] }; 2];
    let mut config = RequestConfig::default();
    (config.batch_bytes, config.copy_bytes_max, config.window_bytes) = (512, 512, 512);
    let [places_a, places_b] = &mut places;
    let [outgoing_a, outgoing_b] = &mut outgoing;
    let mut links = [(places_a, outgoing_a), (places_b, outgoing_b)].map(|(places, outgoing)| {
        let storage = RequestStorage::borrowed(places, outgoing, &mut []);
        LinkPlace::new(must(Requests::new(Remoting::default(), pool, storage, &config)))
    });
    let (mut topics, mut queues) = ([TopicPlace::new()], [QueuePlace::new(); 4]);
    let (mut brokers, mut sends) = ([BrokerPlace::new()], [SendPlace::new(), SendPlace::new()]);
    let storage_bytes = size_of_val(&links)
        + size_of_val(&topics)
        + size_of_val(&queues)
        + size_of_val(&brokers)
        + size_of_val(&sends);
    let storage = Storage::new(
        &mut links[..],
        &mut topics[..],
        &mut queues[..],
        &mut brokers[..],
        &mut sends[..],
    );
    hprintln!(
        "an engine with 2 links, 1 topic, 4 queues, 1 broker, 2 sends: {} bytes of storage",
        storage_bytes
    );
    let settings = EngineConfig::new("10.0.0.4:9876", "sensors", "sensor-17");
    let mut engine = must(Engine::new(settings, storage, pool, 17));
    hprintln!("and {} bytes of its own", size_of_val(&engine));

    let now = Now::new(Instant::from_ms(1), 1_700_000_000_000);
    let ticket = must(engine.send(now, &Outgoing::new("Readings", b"21.5")));
    let mut codes = [0; 4];
    for (host, port, expected) in [
        ("10.0.0.4", 9_876, &[request_code::GET_ROUTEINFO_BY_TOPIC][..]),
        ("10.0.0.5", 10_911, &[request_code::SEND_MESSAGE_V2, request_code::HEART_BEAT][..]),
    ] {
        engine.handle_progress(now);
        let Some(Action::Dial { link, host: to, port: at }) = engine.poll_action() else {
            panic!("somebody is to be dialled");
        };
        check!(checks, (to, at) == (host, port));
        engine.handle_dialed(now, link);
        engine.handle_progress(now);
        let Some(machine) = engine.link(link) else { panic!("it was to be dialled") };
        let asked = answer(machine, now, &mut codes);
        check!(checks, codes[..asked] == *expected);
    }
    check!(checks, engine.poll_event().is_none());
    engine.handle_progress(now);
    let Some(event) = engine.poll_event() else { panic!("it was answered") };
    check!(checks, event.ticket == ticket);
    let placed = must(event.outcome);
    check!(checks, (placed.queue, placed.offset) == (1, 7));
    check!(checks, engine.broker_name(placed.broker) == Some("b"));
    check!(checks, engine.in_flight() == 0);
    check!(checks, engine.poll_timeout() == Some(Instant::from_ms(30_001)));
}
