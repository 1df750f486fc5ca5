//! What the report looks for: rules as data.

use super::findings::Weight;

/// Which series: a metric, and labels that they must have.
pub(super) struct Pick {
    pub(super) metric: &'static str,
    pub(super) labels: &'static [(&'static str, &'static str)],
}

const fn pick(metric: &'static str) -> Pick {
    Pick { metric, labels: &[] }
}

/// What is computed for each subject: the labels that the picks don't ask for.
pub(super) enum Measure {
    /// By how much a counter grew.
    Increase(Pick),
    /// The increase of the first divided by that of both together.
    Share(Pick, Pick),
    /// The increase of the first divided by that of the second.
    Ratio(Pick, Pick),
    /// The largest value of the first divided by the last of the second.
    Peak(Pick, Pick),
    /// The average of a histogram, in seconds.
    Average(Pick),
    /// The average of a histogram, divided by the median of the averages of all subjects.
    Slowest(Pick),
}

/// One rule: above the threshold there is a finding.
pub(super) struct Check {
    pub(super) measure: Measure,
    pub(super) threshold: f64,
    pub(super) weight: Weight,
    /// `{subject}`, `{value}` (as number) and `{percent}` stand for what was found.
    pub(super) says: &'static str,
    pub(super) advice: &'static str,
}

const TIMED_OUT: Pick =
    Pick { metric: "turbopump_request_outcomes_total", labels: &[("outcome", "timeout")] };
const NOT_EXPORTED: Pick =
    Pick { metric: "turbopump_exports_total", labels: &[("result", "dropped")] };
const ACTIVE: Pick = Pick { metric: "turbopump_pool_connections", labels: &[("state", "active")] };

/// All rules. Those that limit throughput come first.
pub(super) static CHECKS: [Check; 14] = [
    Check {
        measure: Measure::Ratio(
            pick("turbopump_pool_waits_total"),
            pick("turbopump_pool_checkouts_total"),
        ),
        threshold: 0.05,
        weight: Weight::Limits,
        says: "{value} waits per checkout of a connection{subject}",
        advice: "Allow more connections, or hold them for a shorter time.",
    },
    Check {
        measure: Measure::Peak(ACTIVE, pick("turbopump_pool_connections_max")),
        threshold: 0.999,
        weight: Weight::Limits,
        says: "All connections that are allowed were in use at once{subject}",
        advice: "Allow more connections, or multiplex requests over fewer.",
    },
    Check {
        measure: Measure::Share(
            pick("turbopump_mempool_exhausted_total"),
            pick("turbopump_mempool_hits_total"),
        ),
        threshold: 0.01,
        weight: Weight::Limits,
        says: "{percent} of the requests for memory missed{subject}",
        advice: "Give this class more blocks.",
    },
    Check {
        measure: Measure::Ratio(
            pick("turbopump_async_io_refused_total"),
            pick("turbopump_async_io_submitted_total"),
        ),
        threshold: 0.01,
        weight: Weight::Limits,
        says: "{percent} as many tasks were refused as accepted{subject}",
        advice: "Give asynchronous IO more workers or a longer queue.",
    },
    Check {
        measure: Measure::Average(pick("turbopump_batch_process_duration_seconds")),
        threshold: 0.1,
        weight: Weight::Limits,
        says: "Batches took {value} s on average{subject}",
        advice: "Use more workers, or look at what the batch function waits for.",
    },
    Check {
        measure: Measure::Slowest(pick("turbopump_network_latency_seconds")),
        threshold: 2.0,
        weight: Weight::Slow,
        says: "A peer took {value} times as long to answer as the median{subject}",
        advice: "Look at this peer, or at the way to it.",
    },
    Check {
        measure: Measure::Average(pick("turbopump_request_duration_seconds")),
        threshold: 0.1,
        weight: Weight::Slow,
        says: "Requests took {value} s on average{subject}",
        advice: "Look at the peer, or send more requests at a time.",
    },
    Check {
        measure: Measure::Increase(pick("turbopump_pool_timeouts_total")),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} time-outs of connections{subject}",
        advice: "The phase says where: acquire wants more connections, dial and TLS the network.",
    },
    Check {
        measure: Measure::Increase(TIMED_OUT),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} requests timed out{subject}",
        advice: "Is the peer overloaded, or the time-out too short?",
    },
    Check {
        measure: Measure::Increase(pick("turbopump_connections_failed_total")),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} connections could not be opened{subject}",
        advice: "Is the peer up, and its address right?",
    },
    Check {
        measure: Measure::Increase(pick("turbopump_batch_items_failed_total")),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} items failed{subject}",
        advice: "Look at the errors of the batch function.",
    },
    Check {
        measure: Measure::Increase(pick("turbopump_async_io_callback_panics_total")),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} callbacks panicked{subject}",
        advice: "The log has the messages.",
    },
    Check {
        measure: Measure::Peak(
            pick("turbopump_process_resident_bytes"),
            pick("turbopump_system_memory_total_bytes"),
        ),
        threshold: 0.8,
        weight: Weight::Fails,
        says: "The process held {percent} of the system's memory{subject}",
        advice: "Make pools and queues smaller.",
    },
    Check {
        measure: Measure::Increase(NOT_EXPORTED),
        threshold: 0.0,
        weight: Weight::Fails,
        says: "{value} snapshots were not exported{subject}",
        advice: "The target was away for too long.",
    },
];
