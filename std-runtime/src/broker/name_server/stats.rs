//! A name server's numbers at one moment, and the names under which they are known.

use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, VisitError};

use super::{NameServer, NameServerCounts};

/// What a name server is like at one moment: a [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameServerStats {
    /// Counts since it was started.
    pub counts: NameServerCounts,
    /// Connections that are open.
    pub connections: usize,
    /// Brokers that are registered, masters and slaves.
    pub brokers: usize,
    /// Topics of each broker, one by one.
    pub routes: usize,
}

impl NameServer {
    /// What it is like now.
    #[must_use]
    pub fn stats(&self) -> NameServerStats {
        NameServerStats {
            counts: self.counts,
            connections: self.connections(),
            brokers: self.brokers(),
            routes: self.routes(),
        }
    }
}

macro_rules! families {
    ($($name:ident $kind:ident $wire:literal $help:literal;)*) => {
        $(static $name: Descriptor = descriptor!(Kind::$kind, $wire, $help);)*
        static FAMILIES: &[&Descriptor] = &[$(&$name),*];
    };
}

families! {
    OPENED Counter "turbopump_namesrv_connections_opened_total" "Connections that were accepted.";
    CLOSED Counter "turbopump_namesrv_connections_closed_total"
        "Connections that were closed by this side, by reason.";
    CONNECTIONS Gauge "turbopump_namesrv_connections" "Connections that are open.";
    FRAMES Counter "turbopump_namesrv_frames_total" "Frames that were handled.";
    REQUESTS Counter "turbopump_namesrv_requests_total" "Requests, by what became of them.";
    REGISTRATIONS Counter "turbopump_namesrv_registrations_total" "Registrations that were taken.";
    LOST Counter "turbopump_namesrv_brokers_lost_total"
        "Brokers that were not heard of for too long, or whose connection was lost.";
    BROKERS Gauge "turbopump_namesrv_brokers" "Brokers that are registered, masters and slaves.";
    ROUTES Gauge "turbopump_namesrv_routes" "Topics of each broker, one by one.";
}

impl Source for NameServerStats {
    fn families(&self) -> &'static [&'static Descriptor] {
        FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        let counts = &self.counts;
        samples.counter(&OPENED, &[], counts.connections_opened)?;
        for (reason, value) in [
            ("too_many", counts.connections_refused),
            ("idle", counts.connections_idle),
            ("malformed", counts.frames_malformed),
            ("insecure", counts.connections_insecure),
        ] {
            samples.counter(&CLOSED, &[("reason", reason)], value)?;
        }
        samples.counter(&FRAMES, &[], counts.frames)?;
        for (outcome, value) in [
            ("granted", counts.requests_granted),
            ("refused", counts.requests_refused),
            ("unknown", counts.requests_unknown),
        ] {
            samples.counter(&REQUESTS, &[("outcome", outcome)], value)?;
        }
        samples.counter(&REGISTRATIONS, &[], counts.registrations)?;
        samples.counter(&LOST, &[], counts.brokers_lost)?;
        for (descriptor, value) in
            [(&CONNECTIONS, self.connections), (&BROKERS, self.brokers), (&ROUTES, self.routes)]
        {
            samples.gauge(descriptor, &[], value as u64)?;
        }
        Ok(())
    }
}
