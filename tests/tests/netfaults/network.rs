//! Faults N2, N3, N6, N10, N12 and N16: what a network does between two hosts.

use std::time::Duration;

use crate::world::{COLLECTOR, NAMED, Side, World, in_each};

const SECOND: Duration = Duration::from_secs(1);
/// The most that connecting may take, over all addresses of a host.
const CONNECT_MS: u64 = 3_000;
/// What a loaded machine may add.
const SLACK_MS: u64 = 1_500;

#[test]
fn n10_packets_lost_at_random_cost_time_and_no_span() {
    in_each("n10", |mut world| {
        world.start(COLLECTOR, 10 * SECOND);
        world.deliver(4, 10_000);
        for side in [Side::Service, Side::Collector] {
            world.break_by(side, "meta l4proto tcp numgen random mod 100 < 30 drop");
        }
        let times = (0..8).map(|_| world.deliver(4, 50_000)["ms"]);
        let took: u64 = times.sum();
        // The first retransmission comes after 200 ms: that none was needed has a chance of 1e-5.
        assert!(took >= 200, "nothing was lost in {took} ms");
        world.heal();
        world.deliver(4, 10_000);
        let books = world.close(40);
        assert!(books["attempts"] >= 10, "{books:?}");
    });
}

/// Breaks the network of a service that works, and has it try at least twice; then heals it.
fn break_and_heal(mut world: World, side: Side, rule: &str) {
    world.start(COLLECTOR, SECOND / 2);
    world.deliver(2, 10_000);
    world.break_by(side, rule);
    let before = world.service.books("books")["attempts"];
    world.service.ask("record 40 100");
    let flush = world.service.books("flush 100");
    assert_eq!(
        (flush["complete"], flush["left"]),
        (0, 40),
        "{}",
        world.told()
    );
    let held = world.wait_for("attempts", before + 2);
    assert_eq!((held["exported"], held["held"]), (2, 40), "{held:?}");
    world.heal();
    world.deliver(2, 10_000);
    world.close(44);
}

#[test]
fn n2_a_firewall_that_swallows_connections_costs_no_span() {
    in_each("n2", |world| {
        break_and_heal_anew(world, "tcp flags syn drop")
    });
}

/// As [`break_and_heal`], for a service that has not reached its collector yet.
fn break_and_heal_anew(mut world: World, rule: &str) {
    world.break_by(Side::Collector, rule);
    world.start(COLLECTOR, SECOND / 2);
    world.service.ask("record 40 100");
    let flush = world.service.books("flush 100");
    assert_eq!(
        (flush["complete"], flush["left"]),
        (0, 40),
        "{}",
        world.told()
    );
    let held = world.wait_for("attempts", 2);
    assert_eq!((held["exported"], held["duplicates"]), (0, 0), "{held:?}");
    world.heal();
    world.deliver(2, 10_000);
    world.close(42);
}

#[test]
fn n3_a_path_that_swallows_large_packets_meets_the_request_timeout() {
    // Handshakes get through and requests do not, as behind a tunnel whose MTU nobody is told.
    in_each("n3", |world| {
        break_and_heal(world, Side::Collector, "meta length > 1200 drop");
    });
}

#[test]
fn n6_a_firewall_that_resets_the_connection_within_a_request_costs_no_span() {
    // The handshake is let through, and what follows is answered with a reset that only the service
    // sees: for the collector the connection goes on.
    in_each("n6", |world| {
        let rule = "tcp dport 4318 quota over 400 bytes reject with tcp reset";
        break_and_heal(world, Side::Collector, rule);
    });
}

#[test]
fn n12_a_network_that_is_parted_opens_the_circuit_and_heals() {
    in_each("n12", |mut world| {
        world.start(COLLECTOR, SECOND / 2);
        world.deliver(2, 10_000);
        world.break_by(Side::Collector, "drop");
        world.service.ask("record 20");
        let _ = world.service.books("flush 100");
        let open = world.wait_for("opened", 1);
        assert_eq!((open["exported"], open["held"]), (2, 20), "{open:?}");
        world.heal();
        world.deliver(2, 10_000);
        world.close(24);
    });
}

#[test]
fn n16_a_dead_ipv6_address_does_not_keep_from_the_ipv4_one() {
    let dead = [
        ("swallows", "meta nfproto ipv6 tcp dport 4318 drop"),
        (
            "refuses",
            "meta nfproto ipv6 tcp dport 4318 reject with tcp reset",
        ),
    ];
    for (kind, rule) in dead {
        in_each(&format!("n16-{kind}"), |mut world| {
            world.collector.ask("names 2001:db8::2 192.0.2.2");
            world.break_by(Side::Collector, rule);
            world.start(NAMED, 10 * SECOND);
            let took = world.deliver(2, 10_000)["ms"];
            assert!(took < CONNECT_MS + SLACK_MS, "{kind}: {took} ms");
            // The dead address comes first, or this would prove nothing.
            assert!(kind != "swallows" || took >= 200, "{kind}: {took} ms");
            let books = world.close(2);
            assert_eq!(
                (books["attempts"], books["opened"]),
                (1, 0),
                "{}",
                world.told()
            );
        });
    }
}
