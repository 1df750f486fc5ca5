//! What is checked, one file per part of the core.

use crate::check::Checks;

/// Declares the parts, each behind the feature of its name, and runs them one after the other.
macro_rules! parts {
    ($($feature:literal $part:ident),+ $(,)?) => {
        $(#[cfg(feature = $feature)] mod $part;)+

        pub(crate) fn run_all(checks: &mut Checks) {
            $(
                #[cfg(feature = $feature)]
                {
                    checks.begin($feature);
                    $part::run(checks);
                }
            )+
            checks.begin("firmware");
        }
    };
}

parts! {
    "pool" pool,
    "object" object,
    "batch" batch,
    "frame" frame,
    "inflate" inflate,
    "stats" stats,
    "alert" alert,
    "wire_json" wire_json,
    "wire_binary" wire_binary,
    "wire_frame" wire_frame,
    "wire_messages" wire_messages,
    "wire_batch" wire_batch,
    "wire_route" wire_route,
    "wire_heartbeat" wire_heartbeat,
    "wire_acl" wire_acl,
    "wire_rebalance" wire_rebalance,
    "wire_pop" wire_pop,
    "wire_trace" wire_trace,
    "engine" engine,
}

#[cfg(any(feature = "wire_json", feature = "wire_binary"))]
mod wire_header;
