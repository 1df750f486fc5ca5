tile({ title: "messages sent, a second", unit: "count/s", value: (n) => n.rate("turbopump_send_messages_total", { result: "ok" }) });
tile({ title: "99 of 100 sends take at most", unit: "seconds", value: (n) => n.quantile("turbopump_send_duration_seconds", 0.99) });
panel({
  title: "Producer: messages", about: "a second, by how sending them came out", unit: "count/s",
  lines: (n) => n.labels("turbopump_send_messages_total", "result").map((result) => {
    const value = n.rate("turbopump_send_messages_total", { result });
    return { name: result, value: result === "ok" ? value : value || undefined };
  }),
});
panel({
  title: "Producer: bytes", about: "a second, as they were sent", unit: "bytes/s",
  lines: (n) => !n.has("turbopump_send_bytes_total") ? [] : [
    { name: "sent", value: n.rate("turbopump_send_bytes_total") },
  ],
});
panel({
  title: "Producer: time to send", about: "from a request to its last answer", unit: "seconds",
  lines: (n) => !n.has("turbopump_send_duration_seconds") ? [] : [
    { name: "p50", value: n.quantile("turbopump_send_duration_seconds", 0.5) },
    { name: "p99", value: n.quantile("turbopump_send_duration_seconds", 0.99) },
    { name: "p99.9", value: n.quantile("turbopump_send_duration_seconds", 0.999) },
  ],
});
panel({
  title: "Producer: batches", about: "messages of a request", unit: "count",
  lines: (n) => !n.has("turbopump_send_batch_messages") ? [] : [
    { name: "mean", value: n.mean("turbopump_send_batch_messages") },
    { name: "p99", value: n.quantile("turbopump_send_batch_messages", 0.99) },
  ],
});
panel({
  title: "Producer: under way", about: "of what may be", unit: "ratio",
  lines: (n) => [
    ["messages", "turbopump_send_in_flight_messages", "turbopump_send_in_flight_limit_messages"],
    ["bytes", "turbopump_send_in_flight_bytes", "turbopump_send_in_flight_limit_bytes"],
  ].map(([name, used, limit]) => (
    { name, value: n.value(limit) ? n.value(used) / n.value(limit) : undefined })),
});
panel({
  title: "Producer: waiting", about: "senders, until there is room", unit: "count",
  lines: (n) => !n.has("turbopump_send_waiting_senders") ? [] : [
    { name: "senders", value: n.value("turbopump_send_waiting_senders") },
  ],
});
panel({
  title: "Producer: attempts that failed", about: "a second, busy brokers by what they said", unit: "count/s",
  lines: (n) => [
    ...n.labels("turbopump_send_attempts_failed_total", "reason").filter((reason) => reason !== "busy").map((reason) => (
      { name: reason, value: n.rate("turbopump_send_attempts_failed_total", { reason }) })),
    ...n.labels("turbopump_send_busy_total", "kind").map((kind) => (
      { name: `busy: ${kind}`, value: n.rate("turbopump_send_busy_total", { kind }) || undefined })),
  ],
});
panel({
  title: "Client: brokers and name servers", about: "how many are well, and how many are not", unit: "count",
  lines: (n) => {
    const up = n.series("turbopump_nameserver_up"), isolated = n.series("turbopump_broker_isolated");
    const count = (all, value) => all.filter((one) => one.value === value).length;
    return [
      ...(up.length ? [
        { name: "name servers up", value: count(up, 1) },
        { name: "name servers down", value: count(up, 0) },
      ] : []),
      ...(isolated.length ? [
        { name: "brokers well", value: count(isolated, 0) },
        { name: "brokers isolated", value: count(isolated, 1) },
      ] : []),
    ];
  },
});
panel({
  title: "Client: connections", about: "to brokers and name servers, and what is asked over them", unit: "count",
  lines: (n) => !n.has("turbopump_peer_connected") ? [] : [
    { name: "connections", value: n.value("turbopump_peer_connected") },
    { name: "requests pending", value: n.value("turbopump_requests_pending") },
  ],
});
panel({
  title: "Client: connections made and lost", about: "a second", unit: "count/s",
  lines: (n) => !n.has("turbopump_peer_connected") ? [] : [
    { name: "opened", value: n.rate("turbopump_connections_opened_total") },
    { name: "closed", value: n.rate("turbopump_connections_closed_total") },
    { name: "failed", value: n.rate("turbopump_connections_failed_total") },
  ],
});
panel({
  title: "Client: ages", about: "of the oldest heartbeat that was answered, and of the oldest route", unit: "seconds",
  lines: (n) => [
    ["heartbeat", "turbopump_heartbeat_age_seconds"], ["route", "turbopump_route_age_seconds"],
  ].map(([name, family]) => {
    const all = n.series(family).map((one) => one.value);
    return { name, value: all.length ? Math.max(...all) : undefined };
  }),
});
