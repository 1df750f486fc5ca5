tile({ title: "messages a second", unit: "count/s", value: (n) => n.rate("turbopump_demo_messages_total", { stage: "arrived" }) });
tile({ title: "latency, p99", unit: "seconds", value: (n) => n.quantile("turbopump_demo_latency_seconds", 0.99) });
panel({
  title: "Messages", about: "a second", unit: "count/s",
  lines: (n) => !n.has("turbopump_demo_messages_total") ? [] : [
    { name: "sent", value: n.rate("turbopump_demo_messages_total", { stage: "sent" }) },
    { name: "arrived", value: n.rate("turbopump_demo_messages_total", { stage: "arrived" }) },
  ],
});
panel({
  title: "Latency", about: "from sender to arrival", unit: "seconds",
  lines: (n) => !n.has("turbopump_demo_latency_seconds") ? [] : [0.5, 0.9, 0.99].map((q) => (
    { name: `p${100 * q}`, value: n.quantile("turbopump_demo_latency_seconds", q) })),
});
