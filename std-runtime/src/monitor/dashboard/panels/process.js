tile({ title: "processor", unit: "ratio", value: (n) => n.rate("turbopump_process_cpu_seconds_total") });
tile({ title: "memory", unit: "bytes", value: (n) => n.value("turbopump_process_resident_bytes") });
panel({
  title: "Processor", about: "processors in use", unit: "count",
  lines: (n) => [{ name: "process", value: n.rate("turbopump_process_cpu_seconds_total") ?? undefined }],
});
panel({
  title: "Memory", about: "resident, and held from pools", unit: "bytes",
  lines: (n) => [
    { name: "resident", value: n.value("turbopump_process_resident_bytes") ?? undefined },
    { name: "held from pools", value: n.value("turbopump_mempool_held_bytes") ?? undefined },
  ],
});
panel({
  title: "Threads, tasks, files", unit: "count",
  lines: (n) => [
    { name: "threads", value: n.value("turbopump_process_threads") ?? undefined },
    { name: "tasks", value: n.value("turbopump_tasks_alive") ?? undefined },
    { name: "open files", value: n.value("turbopump_process_open_fds") ?? undefined },
  ],
});
panel({
  title: "Runtime", about: "tasks, and those in the shared queue", unit: "count",
  lines: (n) => [
    { name: "tasks", value: n.value("turbopump_runtime_tasks_alive") ?? undefined },
    { name: "queued", value: n.value("turbopump_runtime_queue_depth") ?? undefined },
    { name: "workers", value: n.value("turbopump_runtime_workers") ?? undefined },
  ],
});
