//! Stored messages of both versions, bodies of pulls, batches, properties and their CRC.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use turbopump_core::rocketmq::wire::message::{
    BatchEntries, BatchEntry, Message, Messages, SysFlag, Version, body_crc,
};
use turbopump_core::rocketmq::wire::properties::{
    Properties, crc_of_property, crc_property, write_property,
};

use crate::loose::pairs;
use crate::{Check, Checker, bytes, list, number, same, small, text};

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] = &[
    ("message-v1", |input, output| message(Version::V1, input, output)),
    ("message-v2", |input, output| message(Version::V2, input, output)),
    ("message-invalid", message_invalid),
    ("pull-body", pull_body),
    ("batch-body", batch_body),
    ("properties-encode", properties_encode),
    ("properties-decode", properties_decode),
    ("crc", crc),
    ("crc-property", crc_as_property),
];

type Map = BTreeMap<String, String>;

fn map_of(properties: &Value) -> Map {
    let items = properties.as_object().expect("properties");
    items.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn map_in(properties: &[u8]) -> Map {
    let properties = Properties::from_bytes(properties).expect("UTF-8");
    properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn written(value: &Value) -> Result<Vec<u8>, String> {
    let mut output = String::new();
    for (name, value) in pairs(value, "properties") {
        let value = value.expect("a text");
        write_property(&mut output, name, value).map_err(|error| error.to_string())?;
    }
    Ok(output.into_bytes())
}

fn host(input: &Value, ip: &str, port: &str) -> SocketAddr {
    let ip: IpAddr = text(input, ip).parse().expect("an address");
    SocketAddr::new(ip, number(input, port).try_into().expect("a port"))
}

fn message(version: Version, input: &Value, output: &Value) -> Check {
    let wire = bytes(output, "hex");
    let (decoded, len) = Message::decode(&wire).map_err(|error| error.to_string())?;
    same("the length", len, wire.len())?;
    same("totalSize", decoded.encoded_len() as i64, number(output, "totalSize"))?;
    same("magic", decoded.version.magic(), small(output, "magic"))?;
    same("bodyCrc", decoded.body_crc, small(output, "bodyCrc"))?;
    same("intact", decoded.is_body_intact(), true)?;

    let body = if input["wireBodyHex"].is_string() { "wireBodyHex" } else { "bodyHex" };
    let body = bytes(input, body);
    let properties = written(input)?;
    let expected = Message {
        version,
        queue_id: small(input, "queueId"),
        flag: small(input, "flag"),
        queue_offset: number(input, "queueOffset"),
        physical_offset: number(input, "physicalOffset"),
        sys_flag: SysFlag(small(input, "sysFlag")),
        born_timestamp_ms: number(input, "bornTimestamp"),
        born_host: host(input, "bornIp", "bornPort"),
        store_timestamp_ms: number(input, "storeTimestamp"),
        store_host: host(input, "storeIp", "storePort"),
        reconsume_times: small(input, "reconsumeTimes"),
        prepared_transaction_offset: number(input, "preparedTransactionOffset"),
        properties: &properties,
        ..Message::new(text(input, "topic"), &body)
    };
    same("the message", decoded, expected)?;
    let mut memory = vec![0; expected.encoded_len()];
    same("the encoded length", expected.encode(&mut memory), Ok(wire.len()))?;
    if text(input, "topic").len() > 127 {
        same("the version", Message::new(text(input, "topic"), &body).version, version)?;
    }
    same("the bytes", &memory, &wire)?;

    let id = decoded.offset_message_id().to_string();
    same("offsetMsgId", &*id, text(output, "offsetMsgId"))?;
    let seen = decoded.unique_key().unwrap_or(&id);
    same("msgIdAsSeenByJavaClient", seen, text(output, "msgIdAsSeenByJavaClient"))?;
    let after = decoded.sys_flag.restored();
    same("sysFlagAfterDecode", after.0, small(output, "sysFlagAfterDecode"))
}

fn message_invalid(input: &Value, output: &Value) -> Check {
    let wire = bytes(input, "hex");
    let decoded = Message::decode(&wire);
    same("decoded", decoded.is_ok(), output["decoded"] == true)?;
    let Ok((decoded, _)) = decoded else { return Ok(()) };
    same("topic", decoded.topic, text(output, "topic"))?;
    same("body", decoded.body, &*bytes(output, "bodyHex"))?;
    let properties = &output["properties"];
    let expected = if properties.is_null() { Map::new() } else { map_of(properties) };
    same("properties", map_in(decoded.properties), expected)
}

fn pull_body(input: &Value, output: &Value) -> Check {
    let wire = bytes(output, "hex");
    let expected = list(input, "messages");
    let mut again = vec![0; wire.len()];
    let mut end = 0;
    let mut count = 0;
    for (decoded, expected) in Messages::new(&wire).zip(expected) {
        let decoded = decoded.map_err(|error| error.to_string())?;
        same("topic", decoded.topic, text(input, "topic"))?;
        same("body", decoded.body, text(expected, "body").as_bytes())?;
        same("intact", decoded.is_body_intact(), true)?;
        same("queueOffset", decoded.queue_offset, number(expected, "queueOffset"))?;
        same("physicalOffset", decoded.physical_offset, number(expected, "physicalOffset"))?;
        let properties = decoded.properties().map_err(|error| error.to_string())?;
        same("tags", properties.tags(), expected["tags"].as_str())?;
        end += decoded.encode(&mut again[end..]).map_err(|error| error.to_string())?;
        count += 1;
    }
    same("the count", (count, Messages::new(&wire).count()), (expected.len(), expected.len()))?;
    same("the bytes", &again[..end], &*wire)
}

fn batch_body(input: &Value, output: &Value) -> Check {
    let wire = bytes(output, "hex");
    let expected = list(input, "messages");
    let mut again = vec![0; wire.len()];
    let mut end = 0;
    let mut count = 0;
    for (decoded, expected) in BatchEntries::new(&wire).zip(expected) {
        let decoded = decoded.map_err(|error| error.to_string())?;
        let body = bytes(expected, "bodyHex");
        let properties = written(expected)?;
        let entry =
            BatchEntry { flag: small(expected, "flag"), body: &body, properties: &properties };
        same("the entry", decoded, entry)?;
        end += entry.encode(&mut again[end..]).map_err(|error| error.to_string())?;
        count += 1;
    }
    let all = BatchEntries::new(&wire).count();
    same("the count", (count, all as i64), (expected.len(), number(output, "count")))?;
    same("the bytes", &again[..end], &*wire)
}

fn properties_encode(input: &Value, output: &Value) -> Check {
    let wire = bytes(output, "hex");
    same("the bytes", &written(input)?, &wire)?;
    same("the text", text(output, "text").as_bytes(), &*wire)?;
    same("the map", map_in(&wire), map_of(&input["properties"]))
}

fn properties_decode(input: &Value, output: &Value) -> Check {
    same("the map", map_in(&bytes(input, "hex")), map_of(&output["javaResult"]))
}

fn crc(input: &Value, output: &Value) -> Check {
    same("crc31", body_crc(&bytes(input, "hex")), small(output, "crc31"))
}

fn crc_as_property(input: &Value, output: &Value) -> Check {
    let crc = u32::try_from(number(input, "crc31")).expect("31 bits");
    let wire = bytes(output, "hex");
    same("the bytes", &crc_property(crc)[..], &*wire)?;
    same("the crc", crc_of_property(&wire), Some(crc))
}
