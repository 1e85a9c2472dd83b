//! Lookups in a table of routes and neighbours. (Errors that need no table are compared with the kernel's in the file tests.)

use super::*;
use crate::packet::{Device, Neighbour, Route};

fn network() -> Network {
    let v4 = |text: &str| text.parse::<IpAddr>().unwrap();
    let route = |prefix: &str, prefix_len, kind| Route {
        prefix: v4(prefix),
        prefix_len,
        kind,
        metric: 0,
    };
    let out = |ifindex, gateway: Option<&str>| RouteKind::Unicast {
        ifindex,
        gateway: gateway.map(v4),
    };
    Network {
        devices: vec![
            Device {
                ifindex: 1,
                name: "lan".into(),
                mtu: 1500,
                mac: [2, 0, 0, 0, 0, 1],
            },
            Device {
                ifindex: 2,
                name: "wan".into(),
                mtu: 1400,
                mac: [2, 0, 0, 0, 0, 2],
            },
        ],
        routes: vec![
            route("0.0.0.0", 0, out(2, Some("192.0.2.1"))),
            route("10.0.0.0", 8, out(1, None)),
            route("10.9.0.0", 16, RouteKind::Blackhole),
            route("10.9.1.0", 24, RouteKind::Prohibit),
            route("10.9.1.128", 25, RouteKind::Unreachable),
            route("10.9.1.255", 32, RouteKind::Local),
            route("2001:db8::", 32, out(1, Some("2001:db8::1"))),
            Route {
                metric: 7,
                ..route("172.16.0.0", 12, out(1, None))
            },
            Route {
                metric: 3,
                ..route("172.16.0.0", 12, out(2, None))
            },
        ],
        neighbours: vec![
            Neighbour {
                ifindex: 2,
                address: v4("192.0.2.1"),
                mac: [2, 0, 0, 0, 9, 1],
            },
            Neighbour {
                ifindex: 1,
                address: v4("10.0.0.5"),
                mac: [2, 0, 0, 0, 9, 5],
            },
            Neighbour {
                ifindex: 1,
                address: v4("2001:db8::1"),
                mac: [2, 0, 0, 0, 9, 6],
            },
        ],
    }
}

fn params(to: &str, ifindex: u32) -> [u8; PARAMS] {
    let mut p = [0; PARAMS];
    match to.parse::<IpAddr>().unwrap() {
        IpAddr::V4(a) => {
            p[0] = AF_INET;
            p[32..36].copy_from_slice(&a.octets());
        }
        IpAddr::V6(a) => {
            p[0] = AF_INET6;
            p[32..48].copy_from_slice(&a.octets());
        }
    }
    p[8..12].copy_from_slice(&ifindex.to_ne_bytes());
    p
}

fn ask(to: &str, flags: u64) -> (u64, [u8; PARAMS]) {
    let mut p = params(to, 1);
    let answer = lookup(&network(), &mut p, flags, None);
    (answer, p)
}

fn ifindex(p: &[u8; PARAMS]) -> u32 {
    u32::from_ne_bytes([p[8], p[9], p[10], p[11]])
}

#[test]
fn the_longest_prefix_decides() {
    assert_eq!(ask("10.9.0.1", 0).0, answer::BLACKHOLE);
    assert_eq!(ask("10.9.1.1", 0).0, answer::PROHIBIT);
    assert_eq!(ask("10.9.1.200", 0).0, answer::UNREACHABLE);
    assert_eq!(ask("10.9.1.255", 0).0, answer::NOT_FWDED);
    assert_eq!(
        ask("2001:db9::1", 0).0,
        answer::NOT_FWDED,
        "no default route for IPv6"
    );
    let (found, p) = ask("172.16.3.4", SKIP_NEIGH);
    assert_eq!(
        (found, ifindex(&p)),
        (answer::SUCCESS, 2),
        "the lower metric"
    );
    assert_eq!(p[12..16], 3u32.to_ne_bytes());
}

#[test]
fn a_neighbour_gives_both_addresses() {
    let (found, p) = ask("10.0.0.5", 0);
    assert_eq!((found, ifindex(&p)), (answer::SUCCESS, 1));
    assert_eq!(
        (&p[52..58], &p[58..64]),
        (&[2, 0, 0, 0, 0, 1][..], &[2, 0, 0, 0, 9, 5][..])
    );
    assert_eq!(p[32..36], [10, 0, 0, 5], "the destination is on the link");
    assert_eq!(p[6..8], 1500u16.to_ne_bytes());
    assert_eq!(p[48..52], [0; 4]);

    let (found, p) = ask("8.8.8.8", 0);
    assert_eq!((found, ifindex(&p)), (answer::SUCCESS, 2));
    assert_eq!(
        p[32..36],
        [192, 0, 2, 1],
        "the gateway takes the destination's place"
    );
    assert_eq!(p[58..64], [2, 0, 0, 0, 9, 1]);

    let (found, p) = ask("2001:db8::77", 0);
    assert_eq!((found, p[47], p[63]), (answer::SUCCESS, 1, 6));

    assert_eq!(ask("10.0.0.6", 0).0, answer::NO_NEIGH);
    assert_eq!(ask("10.0.0.6", SKIP_NEIGH).0, answer::SUCCESS);
    assert_eq!(ask("10.0.0.5", SRC).0, answer::NO_SRC_ADDR);
    assert_eq!(ask("10.0.0.5", TBID).0, answer::NOT_FWDED);
}

#[test]
fn lengths_are_checked_against_the_route_s_device() {
    for (given, skb, expected) in [
        (1400u16, None, answer::SUCCESS),
        (1401, None, answer::FRAG_NEEDED),
        (0, Some(1414), answer::SUCCESS),
        (0, Some(1415), answer::FRAG_NEEDED),
        (100, Some(9000), answer::SUCCESS),
    ] {
        let mut p = params("8.8.8.8", 1);
        p[6..8].copy_from_slice(&given.to_ne_bytes());
        assert_eq!(
            lookup(&network(), &mut p, 0, skb),
            expected,
            "{given} {skb:?}"
        );
        assert_eq!(p[6..8], 1400u16.to_ne_bytes(), "the MTU is told either way");
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let mut p = params("8.8.8.8", 1);
    p[0] = 1;
    assert_eq!(
        lookup(&network(), &mut p, 0, None),
        failure(Errno::EAFNOSUPPORT)
    );
    let mut p = params("8.8.8.8", 77);
    assert_eq!(lookup(&network(), &mut p, 0, None), failure(Errno::ENODEV));
    let mut p = params("fe80::1", 77);
    assert_eq!(
        lookup(&network(), &mut p, 0, None),
        answer::NOT_FWDED,
        "link-local addresses stay on the link"
    );
    let mut p = params("8.8.8.8", 1);
    assert_eq!(
        lookup(&Network::default(), &mut p, 0, None),
        answer::NOT_FWDED,
        "no routes"
    );
}
