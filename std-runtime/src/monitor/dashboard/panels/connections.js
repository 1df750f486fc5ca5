tile({ title: "connections", unit: "count", value: (n) => n.value("turbopump_pool_connections") });
panel({
  title: "Connections", about: "of all pools, by state", unit: "count",
  lines: (n) => n.labels("turbopump_pool_connections", "state").map((state) => (
    { name: state, value: n.value("turbopump_pool_connections", { state }) })),
});
panel({
  title: "Network", about: "on pooled connections and links", unit: "bytes/s",
  lines: (n) => ["in", "out"].map((direction) => (
    { name: direction, value: n.rate("turbopump_network_bytes_total", { direction })
      ?? n.rate("turbopump_request_bytes_total", { direction }) ?? undefined })),
});
panel({
  title: "Requests: duration", about: "from a request to its answer", unit: "seconds",
  lines: (n) => !n.has("turbopump_request_duration_seconds") ? [] : [
    { name: "p50", value: n.quantile("turbopump_request_duration_seconds", 0.5) },
    { name: "p99", value: n.quantile("turbopump_request_duration_seconds", 0.99) },
  ],
});
panel({
  title: "Compression", about: "bytes on the wire, of those before", unit: "ratio",
  lines: (n) => {
    const [before, after] = ["in", "out"].map((stage) =>
      n.rate("turbopump_compression_bytes_total", { operation: "compress", stage }));
    return before === null ? [] : [{ name: "ratio", value: before > 0 ? after / before : null }];
  },
});
panel({
  title: "Time-outs and failed dials", about: "a second", unit: "count/s",
  lines: (n) => !n.has("turbopump_pool_timeouts_total") ? [] : [
    { name: "time-outs", value: n.rate("turbopump_pool_timeouts_total") },
    { name: "failed dials", value: n.rate("turbopump_connections_failed_total") },
  ],
});
