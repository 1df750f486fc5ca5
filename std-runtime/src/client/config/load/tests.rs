use std::ffi::OsString;
use std::path::PathBuf;

use alloc::vec;

use turbopump_core::batch::{AdaptiveSize, Goal, LoadRule, SizePolicy};
use turbopump_core::rocketmq::wire::message::Compression;

use super::*;
use crate::client::{Batching, ProducerConfig};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// A file of this name, which goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &[u8]) -> Self {
        let file = format!("turbopump-{name}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const ALL: &str = "
[client]
name_servers = 'ns-1:9876;ns-2:9876'
send_timeout_ms = 5_000
send_attempts_max = 7
attempt_ms_max = 1_500
busy_pause_ms = 20
busy_pause_ms_max = 250
route_age_ms_max = 10_000
heartbeat_interval_ms = 9_000
name_server_timeout_ms = 300
name_servers_interval_ms = 45_000
in_flight_messages_max = 500
in_flight_bytes_max = 65_536
header_serialization = 'json'
namespace = 'shop'
message_bytes_max = 0x100000
compress_from_bytes = 1_024
";

#[test]
fn every_key_sets_what_it_says() {
    let config = ClientConfig::from_toml("all", ALL).unwrap();
    assert_eq!(config.name_servers, "ns-1:9876;ns-2:9876");
    let policy = config.send;
    assert_eq!((policy.timeout_us, policy.attempts_max), (5_000_000, 7));
    assert_eq!(policy.attempt_us_max, 1_500_000);
    assert_eq!((policy.busy_pause_us, policy.busy_pause_us_max), (20_000, 250_000));
    assert_eq!(config.route_age_max, Duration::from_secs(10));
    assert_eq!(config.heartbeat_interval, Duration::from_secs(9));
    assert_eq!(config.name_server_timeout, Duration::from_millis(300));
    assert_eq!(config.name_servers_interval, Duration::from_secs(45));
    assert_eq!((config.message_bytes_max, config.compress_from_bytes), (1 << 20, 1_024));
    assert_eq!((config.in_flight_messages_max, config.in_flight_bytes_max), (500, 65_536));
    assert_eq!(config.namespace.as_deref(), Some("shop"));
    assert_eq!(config.header_serialization, Serialization::Json);
    // A key that is added is added here, too.
    let named = |key: &&Key| ALL.contains(&format!("\n{} = ", key.name));
    let unnamed: Vec<_> = CLIENT.iter().filter(|key| !named(key)).map(|key| key.name).collect();
    let elsewhere = ["tls_ca_file", "access_key", "secret_key"];
    assert!(unnamed.iter().all(|name| elsewhere.contains(name)), "{unnamed:?}");
    let none = ClientConfig::from_toml("empty", "").unwrap();
    assert_eq!((none.name_servers.as_str(), none.send.attempts_max), ("", 3));
}

#[test]
fn variables_count_more_than_the_file() {
    let file = Scratch::new("more", ALL.as_bytes());
    let given = variables(&[
        ("TURBOPUMP_CLIENT_NAME_SERVERS", "other:9876"),
        ("TURBOPUMP_CLIENT_SEND_TIMEOUT_MS", "1_000"),
        ("TURBOPUMP_SOMETHING_ELSE", "is for others"),
        ("PATH", "/bin"),
    ]);
    let config = ClientConfig::load_with(Some(&file.0), given).unwrap();
    assert_eq!(config.name_servers, "other:9876");
    assert_eq!((config.send.timeout_us, config.send.attempts_max), (1_000_000, 7));
    let config = ClientConfig::load_with(None, variables(&[])).unwrap();
    assert_eq!(config.send.timeout_us, 3_000_000);
}

#[test]
fn errors_name_the_place_the_key_and_what_is_allowed() {
    for (text, expected) in [
        (
            "[client]\n\nsend_timeout_ms = \"soon\"",
            "f, line 3: client.send_timeout_ms is \"soon\"; allowed are whole numbers of \
             milliseconds from 1 to 86400000",
        ),
        ("[client]\nsend_attempts_max = 0", "send_attempts_max is 0; allowed are whole numbers"),
        ("[client]\nmessage_bytes_max = -1", "message_bytes_max is -1; allowed"),
        ("[client]\nroute_age_ms_max = 1.5", "route_age_ms_max is 1.5; allowed"),
        ("[client]\nname_servers = []", "name_servers is a list; allowed is `HOST:PORT`"),
        ("[client]\nname_servers = ['a', 7]", "name_servers is a list; allowed"),
        ("[client]\nname_servers = ' '", "name_servers is \" \"; allowed is `HOST:PORT`"),
        ("[client]\ntimeout = 1", "f, line 2: client.timeout is not known; there is name_servers,"),
        ("\n[clients]", "f, line 2: clients is not known; there is [client], [producer]"),
        (
            "name_servers = 'a:1'",
            "f, line 1: name_servers is not known; there is [client], [producer]",
        ),
        ("[client", "f, line 1: is not TOML: "),
        ("[client]\nsend_timeout_ms = 1\nsend_timeout_ms = 2", "f, line 3: is not TOML: "),
        ("[client]\nbusy_pause_ms = 501", "f: client.busy_pause_ms_max is less than"),
    ] {
        let error = ClientConfig::from_toml("f", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for ((name, value), expected) in [
        (
            ("TURBOPUMP_CLIENT_SEND_TIMEOUT_MS", "soon"),
            "the environment: TURBOPUMP_CLIENT_SEND_TIMEOUT_MS is \"soon\"; allowed are whole",
        ),
        (
            ("TURBOPUMP_CLIENT_TIMEOUT", "1"),
            "TURBOPUMP_CLIENT_TIMEOUT is not known; there is TURBOPUMP_CLIENT_NAME_SERVERS, ",
        ),
        (("TURBOPUMP_CLIENT_NAME_SERVERS", ""), "TURBOPUMP_CLIENT_NAME_SERVERS is \"\"; allowed"),
    ] {
        let error = ClientConfig::load_with(None, variables(&[(name, value)])).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let nowhere = std::env::temp_dir().join("turbopump-nowhere.toml");
    let error = ClientConfig::load_with(Some(&nowhere), variables(&[])).unwrap_err();
    assert!(error.to_string().contains("turbopump-nowhere.toml: can't be read: "), "{error}");
    let long = Scratch::new("long", &vec![b'\n'; (1 << 20) + 1]);
    let error = ClientConfig::load_with(Some(&long.0), variables(&[])).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
    let binary = Scratch::new("binary", &[0xff, 0xfe]);
    let error = ClientConfig::load_with(Some(&binary.0), variables(&[])).unwrap_err();
    assert!(matches!(error.kind(), ConfigErrorKind::Unreadable { .. }), "{error}");
}

#[cfg(feature = "acl")]
#[test]
fn users_are_whole_and_secrets_are_not_shown() {
    let text = "[client]\naccess_key = 'somebody'\n";
    let error = ClientConfig::from_toml("f", text).unwrap_err().to_string();
    assert!(error.contains("belong together"), "{error}");
    let file = Scratch::new("user", text.as_bytes());
    let secret = variables(&[("TURBOPUMP_CLIENT_SECRET_KEY", "hush-hush")]);
    let config = ClientConfig::load_with(Some(&file.0), secret).unwrap();
    let user = config.user.as_ref().unwrap();
    assert_eq!((user.access_key.as_str(), user.secret_key.as_str()), ("somebody", "hush-hush"));
    assert!(!format!("{config:?}").contains("hush-hush"));
    let error = ClientConfig::from_toml("f", "[client]\nsecret_key = 12345").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("12345"), "{error}");
}

#[cfg(feature = "tls-ring")]
#[test]
fn authorities_are_read_at_once() {
    let text = "[client]\ntls_ca_file = '/nowhere/ca.pem'\n";
    let error = ClientConfig::from_toml("f", text).unwrap_err().to_string();
    assert!(error.contains("client.tls_ca_file is \"/nowhere/ca.pem\"; "), "{error}");
}

const ALL_OF_PRODUCERS: &str = "
[producer]
batching = true
batch_messages_max = 100
batch_bytes_max = 0x10000
batch_linger_us = 1_500
batch_in_flight_max = 8
batch_size = 'adaptive'
adaptive_messages_min = 2
adaptive_messages_max = 64
adaptive_latency_us_max = 9_000
compression = 'zlib'
begins_traces = true
";
const BY_LOAD: &str = "
[producer]
batch_size = 'by_load'
load_high_percent = 90
load_low_percent = 20
load_high_messages = 10
load_between_messages = 20
load_low_messages = 30
";

#[test]
fn every_key_of_producers_sets_what_it_says() {
    let config = ProducerConfig::from_toml("all", ALL_OF_PRODUCERS).unwrap();
    let goal = Goal::Throughput { latency_us_max: 9_000 };
    let size = AdaptiveSize { items_min: 2, items_max: 64, goal };
    let expected = Batching {
        messages_max: 100,
        bytes_max: 65_536,
        linger_us: 1_500,
        in_flight_max: 8,
        size: SizePolicy::Adaptive(size),
    };
    assert_eq!(config.batching, Some(expected));
    assert_eq!((config.compression, config.begins_traces), (Compression::Zlib, true));
    let config = ProducerConfig::from_toml("load", BY_LOAD).unwrap();
    let rule =
        LoadRule { high: 0.9, low: 0.2, items_at_high: 10, items_between: 20, items_at_low: 30 };
    let size = SizePolicy::ByLoad(rule);
    assert_eq!(config.batching, Some(Batching { size, ..Batching::default() }));
    // A key that is added is added here, too.
    let named = |key: &&Key| {
        [ALL_OF_PRODUCERS, BY_LOAD].iter().any(|text| text.contains(&format!("\n{} = ", key.name)))
    };
    let unnamed: Vec<_> = PRODUCER.iter().filter(|key| !named(key)).map(|key| key.name).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    let none = ProducerConfig::from_toml("empty", "").unwrap();
    assert_eq!((none.batching, none.begins_traces), (None, false));
    let on = ProducerConfig::from_toml("on", "[producer]\nbatching = true").unwrap();
    assert_eq!(on.batching, Some(Batching::default()));
}

#[test]
fn one_file_is_for_clients_and_producers() {
    let both = format!("{ALL}{ALL_OF_PRODUCERS}");
    let file = Scratch::new("both", both.as_bytes());
    let given = || {
        variables(&[
            ("TURBOPUMP_PRODUCER_BATCH_LINGER_US", "7"),
            ("TURBOPUMP_CLIENT_SEND_ATTEMPTS_MAX", "9"),
        ])
    };
    let producer = ProducerConfig::load_with(Some(&file.0), given()).unwrap();
    let batching = producer.batching.unwrap();
    assert_eq!((batching.linger_us, batching.messages_max), (7, 100));
    let client = ClientConfig::load_with(Some(&file.0), given()).unwrap();
    assert_eq!((client.send.attempts_max, client.send.timeout_us), (9, 5_000_000));
    // Switched off by whoever runs the program.
    let off = variables(&[("TURBOPUMP_PRODUCER_BATCHING", "false")]);
    assert_eq!(ProducerConfig::load_with(Some(&file.0), off).unwrap().batching, None);
}

#[test]
fn errors_in_settings_of_producers_are_named() {
    for (text, expected) in [
        ("batching = 1", "f, line 2: producer.batching is 1; allowed are true and false"),
        ("\nbatch_messages_max = 0", "f, line 3: producer.batch_messages_max is 0; allowed are"),
        ("batch_in_flight_max = 65", "whole numbers of batches from 1 to 64"),
        ("batch_size = 'big'", "is \"big\"; allowed is one of fixed, by_load, adaptive"),
        ("compression = 'rar'", "producer.compression is \"rar\"; allowed is one of zlib"),
        ("linger = 1", "producer.linger is not known; there is batching, batch_messages_max,"),
        ("load_low_percent = 1", "f: producer.load_* needs producer.batch_size = \"by_load\""),
        ("adaptive_messages_max = 1", "f: producer.adaptive_* needs"),
        ("batch_size = 'by_load'\nload_low_percent = 81", "is more than load_high_percent"),
        ("batch_size = 'adaptive'\nadaptive_messages_min = 501", "is more than its max"),
    ] {
        let text = format!("[producer]\n{text}");
        for error in [
            ProducerConfig::from_toml("f", &text).unwrap_err().to_string(),
            ClientConfig::from_toml("f", &text).unwrap_err().to_string(),
        ] {
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
    let wrong = variables(&[("TURBOPUMP_PRODUCER_BATCHES", "1")]);
    let error = ProducerConfig::load_with(None, wrong).unwrap_err().to_string();
    let expected = "TURBOPUMP_PRODUCER_BATCHES is not known; there is TURBOPUMP_PRODUCER_BATCHING,";
    assert!(error.contains(expected), "{error}");
}
