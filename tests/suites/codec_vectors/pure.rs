//! Ids, hashes, names, handles, flags, trace records and shares: text and numbers only.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use turbopump_core::rocketmq::wire::identity::{
    OffsetMessageId, UniqueKey, go_hash, java_hash, tags_code,
};
use turbopump_core::rocketmq::wire::names::{
    DeadLetterTopic, InNamespace, PopRetryTopic, PopRetryVersion, ReplyTopic, RetryTopic,
    WithoutNamespace,
};
use turbopump_core::rocketmq::wire::pop::{
    MessageOffsetInfo, OrderCount, OrderCountInfo, PopHandle, PoppedQueue, StartOffsetInfo,
    TopicMark, message_offsets, order_counts, start_offsets,
};
use turbopump_core::rocketmq::wire::pull::PullFlags;
use turbopump_core::rocketmq::wire::rebalance::{
    HashRing, Queue, RingPoint, VIRTUAL_NODES, average, average_by_circle,
};
use turbopump_core::rocketmq::wire::recall::RecallHandle;
use turbopump_core::rocketmq::wire::trace::{
    EndTransaction, Pub, Recall, SubAfter, SubBefore, TraceRecord, records,
};

use crate::{Check, Checker, bytes, flag, list, number, same, small, text};

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] = &[
    ("offset-msg-id", offset_message_id),
    ("uniq-key", unique_key),
    ("tags-code", tags),
    ("names", names),
    ("recall-handle", recall_handle),
    ("pop-handle", pop_handle),
    ("pop-offset-info", pop_offset_info),
    ("pull-sysflag", pull_flags),
    ("rebalance", rebalance),
    ("trace", trace),
];

fn offset_message_id(input: &Value, output: &Value) -> Check {
    let ip = text(input, "ip").parse().expect("an address");
    let id = OffsetMessageId {
        store_host: SocketAddr::new(ip, number(input, "port").try_into().expect("a port")),
        physical_offset: number(input, "offset"),
    };
    let wire = text(output, "msgId");
    same("the text", &*id.to_string(), wire)?;
    let parsed = wire.parse::<OffsetMessageId>().map_err(|error| error.to_string())?;
    same("the id", parsed, id)?;
    same("decodedOffset", parsed.physical_offset, number(output, "decodedOffset"))
}

fn unique_key(input: &Value, output: &Value) -> Check {
    let key = UniqueKey {
        ip: text(input, "ip").parse().expect("an address"),
        process_id: number(input, "pid") as u16,
        loader_hash: number(input, "loaderHash") as i32,
        month_ms: number(input, "millisSinceMonthStart") as i32,
        counter: number(input, "counter") as u16,
    };
    let wire = text(output, "uniqKey");
    same("the text", &*key.to_string(), wire)?;
    let parsed = wire.parse::<UniqueKey>().map_err(|error| error.to_string())?;
    same("the key", parsed, key)?;
    same("length", key.to_string().len() as i64, number(output, "length"))?;
    same("pidFromId", i64::from(parsed.process_id), number(output, "pidFromId"))?;
    let ip = match parsed.ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    same("ipFromId", ip, bytes(output, "ipFromId"))
}

fn tags(input: &Value, output: &Value) -> Check {
    let tag = text(input, "tag");
    same("its UTF-8", tag.as_bytes(), &*bytes(input, "utf8Hex"))?;
    same("hashCode", java_hash(tag), small(output, "hashCode"))?;
    let code = tags_code(Some(tag));
    same("storedTagsCode", code, number(output, "storedTagsCode"))?;
    same("its hex", &*format!("{code:016x}"), text(output, "storedTagsCodeHex"))?;
    same("Go's hash", go_hash(tag), small(output, "goClientHashByFormulaOverUtf8"))
}

fn names(input: &Value, output: &Value) -> Check {
    let (group, topic) = (text(input, "group"), text(input, "topic"));
    same("retryTopic", &*RetryTopic(group).to_string(), text(output, "retryTopic"))?;
    same("dlqTopic", &*DeadLetterTopic(group).to_string(), text(output, "dlqTopic"))?;
    for (name, version) in
        [("popRetryV1", PopRetryVersion::V1), ("popRetryV2", PopRetryVersion::V2)]
    {
        let found = PopRetryTopic { group, topic, version }.to_string();
        same(name, &*found, text(output, name))?;
    }
    let (namespace, name) = (text(input, "namespace"), text(input, "resource"));
    let wrapped = InNamespace { namespace, name }.to_string();
    same("wrapped", &*wrapped, text(output, "wrapped"))?;
    let unwrapped = WithoutNamespace(&wrapped).to_string();
    same("unwrapped", &*unwrapped, text(output, "unwrapped"))?;
    let reply = text(output, "replyTopic");
    let cluster = reply.strip_suffix("_REPLY_TOPIC").expect("a reply topic");
    same("replyTopic", &*ReplyTopic(cluster).to_string(), reply)
}

fn recall_handle(input: &Value, output: &Value) -> Check {
    let handle = RecallHandle {
        topic: text(input, "topic"),
        broker_name: text(input, "brokerName"),
        deliver_time_ms: text(input, "timestamp").parse().expect("a time"),
        unique_key: text(input, "uniqKey"),
    };
    let wire = text(output, "handle");
    same("the text", &*handle.to_string(), wire)?;
    let mut memory = vec![0; wire.len()];
    same("the handle", RecallHandle::decode(wire, &mut memory), Ok(handle))
}

fn pop_handle(input: &Value, output: &Value) -> Check {
    let mark = TopicMark::of(text(input, "topic"));
    same("retryMark", mark.as_str(), text(output, "retryMark"))?;
    let handle = PopHandle {
        start_offset: number(input, "ckQueueOffset"),
        pop_time_ms: number(input, "popTime"),
        invisible_time_ms: number(input, "invisibleTime"),
        revive_queue_id: small(input, "reviveQid"),
        mark,
        broker_name: text(input, "brokerName"),
        queue_id: small(input, "queueId"),
        queue_offset: number(input, "msgQueueOffset"),
    };
    let wire = text(output, "handle");
    same("the text", &*handle.to_string(), wire)?;
    same("the handle", PopHandle::parse(wire), Ok(handle))?;
    let real = handle.mark.real_topic("g", "T").to_string();
    same("realTopicForT_g", &*real, text(output, "realTopicForT_g"))
}

fn pop_offset_info(input: &Value, output: &Value) -> Check {
    let entries = list(input, "entries");
    let offsets: Vec<Vec<i64>> = entries
        .iter()
        .map(|entry| list(entry, "msgOffsets").iter().map(|offset| offset.as_i64().unwrap()))
        .map(Iterator::collect)
        .collect();
    let mut queues = Vec::new();
    let mut counts = Vec::new();
    for (entry, offsets) in entries.iter().zip(&offsets) {
        let mark = TopicMark::of(text(entry, "topic"));
        let (queue_id, start_offset) = (small(entry, "queueId"), number(entry, "startOffset"));
        queues.push(PoppedQueue { mark, queue_id, start_offset, offsets });
        let (offset, count) = (Some(start_offset), small(entry, "orderCount"));
        counts.push(OrderCount { mark, queue_id, offset, count });
    }
    let starts = text(output, "startOffsetInfo");
    same("startOffsetInfo", &*StartOffsetInfo(&queues).to_string(), starts)?;
    for (found, queue) in start_offsets(starts).zip(&queues) {
        let found = found.map_err(|error| error.to_string())?;
        let found = (found.mark, found.queue_id, found.offset);
        same("a start", found, (queue.mark, queue.queue_id, queue.start_offset))?;
    }
    same("the starts", start_offsets(starts).count(), queues.len())?;
    let wire = text(output, "msgOffsetInfo");
    same("msgOffsetInfo", &*MessageOffsetInfo(&queues).to_string(), wire)?;
    for (found, queue) in message_offsets(wire).zip(&queues) {
        let found = found.map_err(|error| error.to_string())?;
        let place = (found.mark, found.queue_id, found.offsets().collect::<Vec<_>>());
        same("offsets", place, (queue.mark, queue.queue_id, queue.offsets.to_vec()))?;
    }
    same("the offsets", message_offsets(wire).count(), queues.len())?;
    let wire = text(output, "orderCountInfo");
    same("orderCountInfo", &*OrderCountInfo(&counts).to_string(), wire)?;
    same("counts", order_counts(wire).collect::<Result<Vec<_>, _>>(), Ok(counts))
}

fn pull_flags(input: &Value, output: &Value) -> Check {
    let mut flags = PullFlags::default();
    for (name, mask) in [
        ("commitOffset", PullFlags::COMMIT_OFFSET),
        ("suspend", PullFlags::SUSPEND),
        ("subscription", PullFlags::SUBSCRIPTION),
        ("classFilter", PullFlags::CLASS_FILTER),
        ("litePull", PullFlags::LITE_PULL),
    ] {
        if flag(input, name) {
            flags = flags.with(mask);
        }
        same(name, flags.has(mask), flag(input, name))?;
    }
    same("sysFlag", flags.0, small(output, "sysFlag"))
}

fn rebalance(input: &Value, output: &Value) -> Check {
    let queues: Vec<Queue<'_>> = list(input, "queuesSorted")
        .iter()
        .map(|queue| {
            let (broker_name, id) = queue.as_str().unwrap().rsplit_once(':').expect("a queue");
            Queue { broker_name, queue_id: id.parse().expect("a queue's id") }
        })
        .collect();
    let clients: Vec<&str> =
        list(input, "clientIdsSorted").iter().map(|client| client.as_str().unwrap()).collect();
    let virtual_nodes =
        input["virtualNodes"].as_u64().map_or(VIRTUAL_NODES, |nodes| nodes as usize);
    let mut memory = vec![RingPoint::default(); virtual_nodes * clients.len()];
    let ring = HashRing::new(&clients, virtual_nodes, &mut memory).expect("memory enough");
    for (index, client) in clients.iter().enumerate() {
        let share: Vec<usize> = match text(input, "strategy") {
            "AVG" => average(queues.len(), clients.len(), index).collect(),
            "AVG_BY_CIRCLE" => average_by_circle(queues.len(), clients.len(), index).collect(),
            "CONSISTENT_HASH" => ring.share(text(input, "topic"), &queues, index).collect(),
            other => return Err(format!("unknown strategy {other}")),
        };
        let share: Vec<String> = share.iter().map(|queue| queues[*queue].to_string()).collect();
        let expected: Vec<&str> = list(&output["allocation"], client)
            .iter()
            .map(|queue| queue.as_str().unwrap())
            .collect();
        same(client, share, expected)?;
    }
    same("the clients", output["allocation"].as_object().map(|all| all.len()), Some(clients.len()))
}

fn trace(input: &Value, output: &Value) -> Check {
    let record = trace_record(input)?;
    let wire = text(output, "text");
    same("the text", &*record.to_string(), wire)?;
    same("its bytes", record.to_string().into_bytes(), bytes(output, "hex"))?;
    same("the records", records(wire).collect::<Result<Vec<_>, _>>(), Ok(vec![record]))?;
    let keys: BTreeSet<&str> = record.index_keys().collect();
    let expected = list(output, "keys").iter().map(|key| key.as_str().unwrap()).collect();
    if matches!(record, TraceRecord::Recall(_)) {
        // Java takes the keys from elsewhere: the record itself has none.
        return same("the id among the keys", keys.is_subset(&expected), true);
    }
    same("keys", keys, expected)
}

/// As Java's string builder shows a text that may be missing.
fn shown<'v>(input: &'v Value, name: &str) -> &'v str {
    if input[name].is_null() { "null" } else { text(input, name) }
}

fn trace_record(input: &Value) -> Result<TraceRecord<'_>, String> {
    let timestamp_ms = number(input, "timeStamp");
    let (region_id, group_name) = (shown(input, "regionId"), shown(input, "groupName"));
    let (topic, message_id) = (shown(input, "topic"), shown(input, "msgId"));
    let (tags, keys) = (shown(input, "tags"), shown(input, "keys"));
    let (request_id, cost_ms) = (shown(input, "requestId"), small(input, "costTime"));
    let (store_host, message_type) = (shown(input, "storeHost"), small(input, "msgTypeOrdinal"));
    let (is_success, client_host) = (flag(input, "success"), None);
    Ok(match text(input, "type") {
        "Pub" => TraceRecord::Pub(Pub {
            timestamp_ms,
            region_id,
            group_name,
            topic,
            message_id,
            tags,
            keys,
            store_host,
            body_bytes: small(input, "bodyLength"),
            cost_ms,
            message_type,
            offset_message_id: shown(input, "offsetMsgId"),
            is_success,
            client_host,
        }),
        "SubBefore" => TraceRecord::SubBefore(SubBefore {
            timestamp_ms,
            region_id,
            group_name,
            request_id,
            message_id,
            retry_times: small(input, "retryTimes"),
            keys,
            client_host,
        }),
        "SubAfter" => TraceRecord::SubAfter(SubAfter {
            request_id,
            message_id,
            cost_ms,
            is_success,
            keys,
            context_code: small(input, "contextCode"),
            origin: Some((timestamp_ms, group_name)),
        }),
        "EndTransaction" => TraceRecord::EndTransaction(EndTransaction {
            timestamp_ms,
            region_id,
            group_name,
            topic,
            message_id,
            tags,
            keys,
            store_host,
            message_type,
            transaction_id: shown(input, "transactionId"),
            state: shown(input, "transactionState"),
            is_from_check: flag(input, "fromTransactionCheck"),
        }),
        "Recall" => TraceRecord::Recall(Recall {
            timestamp_ms,
            region_id,
            group_name,
            topic,
            message_id,
            is_success,
        }),
        other => return Err(format!("unknown type {other}")),
    })
}
