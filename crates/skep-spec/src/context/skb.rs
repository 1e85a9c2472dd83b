//! `struct __sk_buff`: what programs see of a packet, each kind of program less or more of it.

use super::{ContextKind, ContextLayout, Field, FieldValue, variant};

/// Slots of the fields, for those who fill the context.
pub mod slot {
    /// `len`
    pub const LEN: usize = 0;
    /// `pkt_type`
    pub const PKT_TYPE: usize = 1;
    /// `mark`
    pub const MARK: usize = 2;
    /// `queue_mapping`
    pub const QUEUE_MAPPING: usize = 3;
    /// `protocol`
    pub const PROTOCOL: usize = 4;
    /// `vlan_present`
    pub const VLAN_PRESENT: usize = 5;
    /// `vlan_tci`
    pub const VLAN_TCI: usize = 6;
    /// `vlan_proto`
    pub const VLAN_PROTO: usize = 7;
    /// `priority`
    pub const PRIORITY: usize = 8;
    /// `ingress_ifindex`
    pub const INGRESS_IFINDEX: usize = 9;
    /// `ifindex`
    pub const IFINDEX: usize = 10;
    /// `tc_index`
    pub const TC_INDEX: usize = 11;
    /// `cb[0]`; the other elements follow.
    pub const CB: usize = 12;
    /// `hash`
    pub const HASH: usize = 17;
    /// `tc_classid`
    pub const TC_CLASSID: usize = 18;
    /// `data`
    pub const DATA: usize = 19;
    /// `data_end`
    pub const DATA_END: usize = 20;
    /// `napi_id`
    pub const NAPI_ID: usize = 21;
    /// `family`
    pub const FAMILY: usize = 22;
    /// `remote_ip4`
    pub const REMOTE_IP4: usize = 23;
    /// `local_ip4`
    pub const LOCAL_IP4: usize = 24;
    /// `remote_ip6[0]`; the other elements follow.
    pub const REMOTE_IP6: usize = 25;
    /// `local_ip6[0]`; the other elements follow.
    pub const LOCAL_IP6: usize = 29;
    /// `remote_port`
    pub const REMOTE_PORT: usize = 33;
    /// `local_port`
    pub const LOCAL_PORT: usize = 34;
    /// `data_meta`
    pub const DATA_META: usize = 35;
    /// `flow_keys`
    pub const FLOW_KEYS: usize = 36;
    /// `tstamp`
    pub const TSTAMP: usize = 37;
    /// `wire_len`
    pub const WIRE_LEN: usize = 38;
    /// `gso_segs`
    pub const GSO_SEGS: usize = 39;
    /// `sk`
    pub const SK: usize = 40;
    /// `gso_size`
    pub const GSO_SIZE: usize = 41;
    /// `tstamp_type`
    pub const TSTAMP_TYPE: usize = 42;
    /// `hwtstamp`
    pub const HWTSTAMP: usize = 43;
}

const BASE: [Field; 44] = [
    Field::scalar("len", 0, 4),
    Field::scalar("pkt_type", 4, 4),
    Field::scalar("mark", 8, 4),
    Field::scalar("queue_mapping", 12, 4),
    Field::scalar("protocol", 16, 4),
    Field::scalar("vlan_present", 20, 4),
    Field::scalar("vlan_tci", 24, 4),
    Field::scalar("vlan_proto", 28, 4),
    Field::scalar("priority", 32, 4),
    Field::scalar("ingress_ifindex", 36, 4),
    Field::scalar("ifindex", 40, 4),
    Field::scalar("tc_index", 44, 4),
    Field::scalar("cb[0]", 48, 4).reaching(8),
    Field::scalar("cb[1]", 52, 4),
    Field::scalar("cb[2]", 56, 4).reaching(8),
    Field::scalar("cb[3]", 60, 4),
    Field::scalar("cb[4]", 64, 4),
    Field::scalar("hash", 68, 4),
    Field::scalar("tc_classid", 72, 4),
    Field::pointer("data", 76, 4, FieldValue::PacketStart),
    Field::pointer("data_end", 80, 4, FieldValue::PacketEnd),
    Field::scalar("napi_id", 84, 4),
    Field::scalar("family", 88, 4),
    Field::whole("remote_ip4", 92, 4),
    Field::whole("local_ip4", 96, 4),
    Field::whole("remote_ip6[0]", 100, 4),
    Field::whole("remote_ip6[1]", 104, 4),
    Field::whole("remote_ip6[2]", 108, 4),
    Field::whole("remote_ip6[3]", 112, 4),
    Field::whole("local_ip6[0]", 116, 4),
    Field::whole("local_ip6[1]", 120, 4),
    Field::whole("local_ip6[2]", 124, 4),
    Field::whole("local_ip6[3]", 128, 4),
    Field::scalar("remote_port", 132, 4),
    Field::scalar("local_port", 136, 4),
    Field::pointer("data_meta", 140, 4, FieldValue::PacketMeta),
    Field::pointer("flow_keys", 144, 8, FieldValue::Pointer("bpf_flow_keys")),
    Field::whole("tstamp", 152, 8),
    Field::scalar("wire_len", 160, 4),
    Field::scalar("gso_segs", 164, 4),
    Field::pointer("sk", 168, 8, FieldValue::Pointer("bpf_sock")),
    Field::scalar("gso_size", 176, 4),
    Field::whole("tstamp_type", 180, 1),
    Field::whole("hwtstamp", 184, 8),
];

/// What only programs of a socket's stream and of a cgroup may read.
const ADDRESSES: [&str; 7] = [
    "family",
    "remote_ip4",
    "local_ip4",
    "remote_ip6",
    "local_ip6",
    "remote_port",
    "local_port",
];

const fn with_addresses<const N: usize, const M: usize>(
    more: [&'static str; N],
) -> [&'static str; M] {
    let mut all = [""; M];
    let mut at = 0;
    while at < M {
        all[at] = if at < N { more[at] } else { ADDRESSES[at - N] };
        at += 1;
    }
    all
}

const CB: &[&str] = &["cb"];

/// For socket filters.
pub static SOCKET_FILTER: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &with_addresses::<9, 16>([
            "tc_classid",
            "data",
            "data_meta",
            "data_end",
            "tstamp",
            "wire_len",
            "hwtstamp",
            "tstamp_type",
            "flow_keys",
        ]),
        &[],
        CB,
    ),
    kind: ContextKind::Converted,
};

/// For traffic control: classifiers and actions.
pub static TC: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &with_addresses::<1, 8>(["flow_keys"]),
        &[
            "mark",
            "tc_index",
            "priority",
            "tc_classid",
            "tstamp",
            "queue_mapping",
        ],
        CB,
    ),
    kind: ContextKind::Converted,
};

/// For packets of a cgroup.
pub static CGROUP: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &[
            "tc_classid",
            "data_meta",
            "wire_len",
            "tstamp_type",
            "flow_keys",
        ],
        &["mark", "priority", "tstamp"],
        CB,
    ),
    kind: ContextKind::Converted,
};

/// For lightweight tunnels.
pub static LWT: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &with_addresses::<7, 14>([
            "tc_classid",
            "data_meta",
            "tstamp",
            "wire_len",
            "hwtstamp",
            "tstamp_type",
            "flow_keys",
        ]),
        &["mark", "priority"],
        CB,
    ),
    kind: ContextKind::Converted,
};

/// For the stream of a socket in a map.
pub static SK_SKB: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &[
            "mark",
            "tc_classid",
            "data_meta",
            "tstamp",
            "wire_len",
            "hwtstamp",
            "tstamp_type",
            "flow_keys",
        ],
        &["tc_index", "priority"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// For the flow dissector, which only sees the packet and the keys that it fills.
pub static FLOW_DISSECTOR: ContextLayout = ContextLayout {
    name: "__sk_buff",
    size: 192,
    fields: &variant(
        BASE,
        &[
            "len",
            "pkt_type",
            "mark",
            "queue_mapping",
            "protocol",
            "vlan_present",
            "vlan_tci",
            "vlan_proto",
            "priority",
            "ingress_ifindex",
            "ifindex",
            "tc_index",
            "cb",
            "hash",
            "tc_classid",
            "napi_id",
            "family",
            "remote_ip4",
            "local_ip4",
            "remote_ip6",
            "local_ip6",
            "remote_port",
            "local_port",
            "data_meta",
            "tstamp",
            "wire_len",
            "gso_segs",
            "sk",
            "gso_size",
            "tstamp_type",
            "hwtstamp",
        ],
        &[],
        &[],
    ),
    kind: ContextKind::Converted,
};
