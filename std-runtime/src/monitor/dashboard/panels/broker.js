tile({ title: "messages in, a second", unit: "count/s", value: (n) => n.rate("turbopump_broker_messages_sent_total") });
tile({ title: "messages out, a second", unit: "count/s", value: (n) => n.rate("turbopump_broker_messages_pulled_total") });
panel({
  title: "Broker: messages", about: "a second", unit: "count/s",
  lines: (n) => !n.has("turbopump_broker_messages_sent_total") ? [] : [
    { name: "sent", value: n.rate("turbopump_broker_messages_sent_total") ?? undefined },
    { name: "pulled", value: n.rate("turbopump_broker_messages_pulled_total") ?? undefined },
    { name: "retried", value: n.rate("turbopump_broker_messages_retried_total") || undefined },
    { name: "dead letters", value: n.rate("turbopump_broker_messages_dead_total") || undefined },
  ],
});
panel({
  title: "Broker: bytes", about: "a second, as they are stored", unit: "bytes/s",
  lines: (n) => !n.has("turbopump_broker_sent_bytes_total") ? [] : [
    { name: "sent", value: n.rate("turbopump_broker_sent_bytes_total") ?? undefined },
    { name: "pulled", value: n.rate("turbopump_broker_pulled_bytes_total") ?? undefined },
  ],
});
panel({
  title: "Broker: lag", about: "messages that groups have not consumed", unit: "count",
  lines: (n) => n.labels("turbopump_broker_group_lag_messages", "group").map((group) => (
    { name: group, value: n.value("turbopump_broker_group_lag_messages", { group }) })),
});
panel({
  title: "Broker: store", about: "bytes of messages", unit: "bytes",
  lines: (n) => !n.has("turbopump_broker_log_bytes") ? [] : [
    { name: "kept", value: n.value("turbopump_broker_log_bytes") },
    { name: "in memory", value: n.value("turbopump_broker_memory_bytes") },
    { name: "not written yet", value: n.value("turbopump_broker_unwritten_bytes") },
  ],
});
panel({
  title: "Broker: clients", about: "connections, and pulls that wait", unit: "count",
  lines: (n) => !n.has("turbopump_broker_connections") ? [] : [
    { name: "connections", value: n.value("turbopump_broker_connections") },
    { name: "waiting pulls", value: n.value("turbopump_broker_waiting_pulls") },
  ],
});
panel({
  title: "Broker: requests", about: "a second, by what became of them", unit: "count/s",
  lines: (n) => n.labels("turbopump_broker_requests_total", "outcome").map((outcome) => (
    { name: outcome, value: n.rate("turbopump_broker_requests_total", { outcome }) ?? undefined })),
});
