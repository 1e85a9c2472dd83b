//! The network that packets believe to be in: devices, routes and neighbours, given by the host as a table.
//!
//! Invariants: it does not change while a program runs; what is not in it does not exist for helpers. Without a table there
//! is the loopback device alone, as in the kernel's test run.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// The longest network-layer packet it takes.
    pub mtu: u32,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination's first bits.
    pub prefix: IpAddr,
    /// How many bits of `prefix` count.
    pub prefix_len: u8,
    /// What happens to packets for it.
    pub kind: RouteKind,
    /// The preference among routes of the same length: the lowest wins.
    pub metric: u32,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends packets out of a device, to a gateway or to the destination itself.
    Unicast {
        /// The device.
        ifindex: u32,
        /// The gateway.
        gateway: Option<IpAddr>,
    },
    /// Delivers to this host: not forwarded.
    Local,
    /// Drops silently.
    Blackhole,
    /// Drops with "unreachable".
    Unreachable,
    /// Drops with "prohibited".
    Prohibit,
}

/// A neighbour's link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device it is reached through.
    pub ifindex: u32,
    /// Its network address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// Devices, routes and neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The devices.
    pub devices: Vec<Device>,
    /// The routes, in any order.
    pub routes: Vec<Route>,
    /// The neighbours.
    pub neighbours: Vec<Neighbour>,
}

impl Default for Network {
    fn default() -> Network {
        let loopback = Device {
            ifindex: 1,
            name: "lo".to_owned(),
            mtu: 65_536,
            mac: [0; 6],
        };
        Network {
            devices: vec![loopback],
            routes: Vec::new(),
            neighbours: Vec::new(),
        }
    }
}

impl Network {
    /// The device of that number.
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices.iter().find(|d| d.ifindex == ifindex)
    }

    /// The route to `destination`: the longest prefix, then the lowest metric.
    pub fn route(&self, destination: IpAddr) -> Option<&Route> {
        self.routes
            .iter()
            .filter(|r| r.covers(destination))
            .min_by_key(|r| (core::cmp::Reverse(r.prefix_len), r.metric))
    }

    /// The link-layer address of `address` behind a device.
    pub fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        self.neighbours
            .iter()
            .find(|n| n.ifindex == ifindex && n.address == address)
            .map(|n| n.mac)
    }
}

impl Route {
    fn covers(&self, destination: IpAddr) -> bool {
        let len = u32::from(self.prefix_len);
        match (self.prefix, destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) if len <= 32 => {
                len == 0 || (a.to_bits() ^ b.to_bits()) >> (32 - len) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) if len <= 128 => {
                len == 0 || (a.to_bits() ^ b.to_bits()) >> (128 - len) == 0
            }
            _ => false,
        }
    }
}
