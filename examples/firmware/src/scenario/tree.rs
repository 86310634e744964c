//! A tree of spans with all that a span can hold, recorded before the device knew the date.

use spandrel_core::prelude::*;

use crate::device::{deliver, with};

pub fn run() -> Option<()> {
    let at = Instant::from_millis;

    // Everything up to here happens in monotonic time, from the first instruction on.
    let mut boot = with(|device| {
        let builder = SpanBuilder::new("boot").scope(device.scope);
        device.tracer.start::<384>(builder, at(1))
    })?;
    boot.set_attribute("reset.reason", "watchdog");
    boot.set_attribute("reset.count", 7_i64);
    boot.set_attribute("supply.volts", 3.25);
    boot.set_attribute("battery", true);
    boot.set_attribute("serial", [0xde_u8, 0xad].as_slice());
    boot.set_attribute("sensors", ["bme280", "scd41"].as_slice());

    let mut read = with(|device| {
        let builder = SpanBuilder::new("sensor.read")
            .scope(device.scope)
            .parent(*boot.context());
        device.tracer.start::<256>(builder, at(2))
    })?;
    let attributes = [KeyValue::new("attempt", 1_i64)];
    read.add_event("bus.retry", &attributes, at(3));
    read.set_status(Status::error("no answer"));
    with(|device| read.end(at(5), &mut device.spans))?.ok()?;

    let mut send = with(|device| {
        let builder = SpanBuilder::new("radio.send")
            .scope(device.scope)
            .kind(SpanKind::Client)
            .parent(*boot.context());
        device.tracer.start::<256>(builder, at(6))
    })?;
    let elsewhere = SpanContext::remote(
        TraceId::from_bytes([0xab; 16]),
        SpanId::from_bytes([0xcd; 8]),
        TraceFlags::SAMPLED,
    );
    send.add_link(&elsewhere.into());
    with(|device| send.end(at(9), &mut device.spans))?.ok()?;

    boot.set_status(Status::Ok);
    with(|device| boot.end(at(10), &mut device.spans))?.ok()?;

    // Five seconds later a time server answers.
    let clock = WallClock::from_pair(at(5_000), UnixNanos::from_secs(1_700_000_000));
    with(|device| device.spans.set_wall_clock(Some(clock)))?;
    deliver(at(5_000), |_| Response::new(200)).map(|_| ())
}
