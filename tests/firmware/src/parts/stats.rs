//! A page of metrics in memory of the caller's.

use turbopump_core::descriptor;
use turbopump_core::stats::{
    Counter, Descriptor, Gauge, Kind, Samples, Source, Unit, VisitError, text,
};

use crate::check::{Checks, check};

static SENT: Descriptor = descriptor!(Kind::Counter, "device_sent_total", "Messages sent.");
static HEAT: Descriptor = descriptor!(Kind::Gauge, "device_heat_bytes", "Fill.", Unit::BYTES);
static FAMILIES: [&Descriptor; 2] = [&SENT, &HEAT];

struct Device {
    sent: Counter,
    heat: Gauge,
}

impl Source for Device {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SENT, &[("to", "a\"b")], self.sent)?;
        samples.gauge(&HEAT, &[], self.heat.get())
    }
}

const PAGE: &str = "\
# HELP device_sent_total Messages sent.
# TYPE device_sent_total counter
device_sent_total{to=\"a\\\"b\"} 3
# HELP device_heat_bytes Fill.
# TYPE device_heat_bytes gauge
device_heat_bytes -7
";

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let mut device = Device { sent: Counter::new(), heat: Gauge::new() };
    device.sent.add(3);
    device.heat.set(-7);

    let mut length = text::TextLength::new();
    check!(checks, text::write_prometheus(&[&device], &[], &mut length).is_ok());
    check!(checks, length.bytes() == PAGE.len());
    let mut storage = [0; PAGE.len()];
    let mut page = text::TextBuffer::new(&mut storage);
    check!(checks, text::write_prometheus(&[&device], &[], &mut page).is_ok());
    check!(checks, page.as_str() == PAGE);
    let mut short = [0; PAGE.len() - 1];
    let mut page = text::TextBuffer::new(&mut short);
    check!(checks, text::write_prometheus(&[&device], &[], &mut page).is_err());
}
