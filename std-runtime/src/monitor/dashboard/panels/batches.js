tile({ title: "batch items a second", unit: "count/s", value: (n) => n.rate("turbopump_batch_items_succeeded_total") });
tile({ title: "items a batch", unit: "count", value: (n) => n.mean("turbopump_batch_messages") });
panel({
  title: "Batches: items", about: "settled a second", unit: "count/s",
  lines: (n) => [
    { name: "succeeded", value: n.rate("turbopump_batch_items_succeeded_total") ?? undefined },
    { name: "retried", value: n.rate("turbopump_batch_items_retried_total") || undefined },
    { name: "failed", value: n.rate("turbopump_batch_items_failed_total") || undefined },
  ],
});
panel({
  title: "Batches: size", about: "items a batch", unit: "count",
  lines: (n) => !n.has("turbopump_batch_messages") ? [] : [
    { name: "mean", value: n.mean("turbopump_batch_messages") },
    { name: "p99", value: n.quantile("turbopump_batch_messages", 0.99) },
  ],
});
panel({
  title: "Batches: time to process", about: "one batch", unit: "seconds",
  lines: (n) => !n.has("turbopump_batch_process_duration_seconds") ? [] : [
    { name: "p50", value: n.quantile("turbopump_batch_process_duration_seconds", 0.5) },
    { name: "p99", value: n.quantile("turbopump_batch_process_duration_seconds", 0.99) },
  ],
});
panel({
  title: "Batches: linger", about: "wait of a batch's first item", unit: "seconds",
  lines: (n) => !n.has("turbopump_batch_linger_seconds") ? [] : [
    { name: "p50", value: n.quantile("turbopump_batch_linger_seconds", 0.5) },
    { name: "p99", value: n.quantile("turbopump_batch_linger_seconds", 0.99) },
  ],
});
panel({
  title: "Batches: why they were closed", about: "a second", unit: "count/s",
  lines: (n) => n.labels("turbopump_batch_flush_total", "reason").map((reason) => (
    { name: reason, value: n.rate("turbopump_batch_flush_total", { reason }) })),
});
