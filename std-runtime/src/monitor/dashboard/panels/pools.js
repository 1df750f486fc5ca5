function hits(n, labels) {
  const [hit, missed] = [n.rate("turbopump_mempool_hits_total", labels), n.rate("turbopump_mempool_exhausted_total", labels)];
  return hit === null ? undefined : hit + missed > 0 ? hit / (hit + missed) : null;
}
tile({ title: "pool hit rate", unit: "ratio", value: (n) => hits(n) ?? null });
panel({
  title: "Memory pools: hit rate", about: "requests served by the smallest class that fits", unit: "ratio",
  lines: (n) => n.labels("turbopump_mempool_hits_total", "pool").map((pool) => ({ name: pool, value: hits(n, { pool }) })),
});
panel({
  title: "Memory pools: in use", about: "bytes that users hold", unit: "bytes",
  lines: (n) => n.labels("turbopump_mempool_held_bytes", "pool").map((pool) => (
    { name: pool, value: n.value("turbopump_mempool_held_bytes", { pool }) })),
});
