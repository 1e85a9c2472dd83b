//! Contexts of programs on sockets: `sk_msg_md`, `bpf_sock_ops`, `sk_reuseport_md`, `bpf_sk_lookup`; and
//! `bpf_flow_keys`, which a flow dissector fills.

use super::{Access, ContextKind, ContextLayout, Field, FieldValue, variant};

const MSG: [Field; 17] = [
    Field::pointer("data", 0, 8, FieldValue::PacketStart),
    Field::pointer("data_end", 8, 8, FieldValue::PacketEnd),
    Field::whole("family", 16, 4),
    Field::whole("remote_ip4", 20, 4),
    Field::whole("local_ip4", 24, 4),
    Field::whole("remote_ip6[0]", 28, 4),
    Field::whole("remote_ip6[1]", 32, 4),
    Field::whole("remote_ip6[2]", 36, 4),
    Field::whole("remote_ip6[3]", 40, 4),
    Field::whole("local_ip6[0]", 44, 4),
    Field::whole("local_ip6[1]", 48, 4),
    Field::whole("local_ip6[2]", 52, 4),
    Field::whole("local_ip6[3]", 56, 4),
    Field::whole("remote_port", 60, 4),
    Field::whole("local_port", 64, 4),
    Field::whole("size", 68, 4),
    Field::pointer("sk", 72, 8, FieldValue::Pointer("bpf_sock")),
];

/// For messages of a socket in a map.
pub static SK_MSG: ContextLayout = ContextLayout {
    name: "sk_msg_md",
    size: 80,
    fields: &MSG,
    kind: ContextKind::Converted,
};

const OPS: [Field; 50] = [
    Field::whole("op", 0, 4),
    Field::whole("args[0]", 4, 4),
    Field::whole("args[1]", 8, 4),
    Field::whole("args[2]", 12, 4),
    Field::whole("args[3]", 16, 4),
    Field::whole("family", 20, 4),
    Field::whole("remote_ip4", 24, 4),
    Field::whole("local_ip4", 28, 4),
    Field::whole("remote_ip6[0]", 32, 4),
    Field::whole("remote_ip6[1]", 36, 4),
    Field::whole("remote_ip6[2]", 40, 4),
    Field::whole("remote_ip6[3]", 44, 4),
    Field::whole("local_ip6[0]", 48, 4),
    Field::whole("local_ip6[1]", 52, 4),
    Field::whole("local_ip6[2]", 56, 4),
    Field::whole("local_ip6[3]", 60, 4),
    Field::whole("remote_port", 64, 4),
    Field::whole("local_port", 68, 4),
    Field::whole("is_fullsock", 72, 4),
    Field::whole("snd_cwnd", 76, 4),
    Field::whole("srtt_us", 80, 4),
    Field::whole("bpf_sock_ops_cb_flags", 84, 4),
    Field::whole("state", 88, 4),
    Field::whole("rtt_min", 92, 4),
    Field::whole("snd_ssthresh", 96, 4),
    Field::whole("rcv_nxt", 100, 4),
    Field::whole("snd_nxt", 104, 4),
    Field::whole("snd_una", 108, 4),
    Field::whole("mss_cache", 112, 4),
    Field::whole("ecn_flags", 116, 4),
    Field::whole("rate_delivered", 120, 4),
    Field::whole("rate_interval_us", 124, 4),
    Field::whole("packets_out", 128, 4),
    Field::whole("retrans_out", 132, 4),
    Field::whole("total_retrans", 136, 4),
    Field::whole("segs_in", 140, 4),
    Field::whole("data_segs_in", 144, 4),
    Field::whole("segs_out", 148, 4),
    Field::whole("data_segs_out", 152, 4),
    Field::whole("lost_out", 156, 4),
    Field::whole("sacked_out", 160, 4),
    Field::whole("sk_txhash", 164, 4),
    Field::whole("bytes_received", 168, 8),
    Field::whole("bytes_acked", 176, 8),
    Field::pointer("sk", 184, 8, FieldValue::Pointer("bpf_sock")),
    Field::pointer("skb_data", 192, 8, FieldValue::PacketStart),
    Field::pointer("skb_data_end", 200, 8, FieldValue::PacketEnd),
    Field::whole("skb_len", 208, 4),
    Field::scalar("skb_tcp_flags", 212, 4).leading(),
    Field::whole("skb_hwtstamp", 216, 8),
];

/// For events of TCP connections. `args[0]` is also `reply` and `replylong[0]`, and so on: a union.
pub static SOCK_OPS: ContextLayout = ContextLayout {
    name: "bpf_sock_ops",
    size: 224,
    fields: &variant(OPS, &[], &["args[0]", "sk_txhash"], &[]),
    kind: ContextKind::Converted,
};

const REUSEPORT: [Field; 9] = [
    Field::pointer("data", 0, 8, FieldValue::PacketStart),
    Field::pointer("data_end", 8, 8, FieldValue::PacketEnd),
    Field::scalar("len", 16, 4),
    Field {
        read: Access::Halves,
        ..Field::scalar("eth_protocol", 20, 4)
    },
    Field::scalar("ip_protocol", 24, 4),
    Field::scalar("bind_inany", 28, 4),
    Field::whole("hash", 32, 4),
    Field::pointer("sk", 40, 8, FieldValue::Pointer("bpf_sock")),
    Field::pointer("migrating_sk", 48, 8, FieldValue::Pointer("bpf_sock")),
];

/// For the choice of a socket of a port group.
pub static SK_REUSEPORT: ContextLayout = ContextLayout {
    name: "sk_reuseport_md",
    size: 56,
    fields: &REUSEPORT,
    kind: ContextKind::Converted,
};

const LOOKUP: [Field; 17] = [
    Field::pointer("sk", 0, 8, FieldValue::Pointer("bpf_sock")),
    Field::scalar("family", 8, 4),
    Field::scalar("protocol", 12, 4),
    Field::scalar("remote_ip4", 16, 4),
    Field::scalar("remote_ip6[0]", 20, 4),
    Field::scalar("remote_ip6[1]", 24, 4),
    Field::scalar("remote_ip6[2]", 28, 4),
    Field::scalar("remote_ip6[3]", 32, 4),
    Field::scalar("remote_port", 36, 2).reaching(4),
    Field::scalar("remote_port_padding", 38, 2),
    Field::scalar("local_ip4", 40, 4),
    Field::scalar("local_ip6[0]", 44, 4),
    Field::scalar("local_ip6[1]", 48, 4),
    Field::scalar("local_ip6[2]", 52, 4),
    Field::scalar("local_ip6[3]", 56, 4),
    Field::scalar("local_port", 60, 4),
    Field::scalar("ingress_ifindex", 64, 4),
];

/// For the lookup of a listening socket.
pub static SK_LOOKUP: ContextLayout = ContextLayout {
    name: "bpf_sk_lookup",
    size: 72,
    fields: &LOOKUP,
    kind: ContextKind::Converted,
};

const KEYS: [Field; 22] = [
    Field::scalar("nhoff", 0, 2).writable(),
    Field::scalar("thoff", 2, 2).writable(),
    Field::scalar("addr_proto", 4, 2).writable(),
    Field::scalar("is_frag", 6, 1).writable(),
    Field::scalar("is_first_frag", 7, 1).writable(),
    Field::scalar("is_encap", 8, 1).writable(),
    Field::scalar("ip_proto", 9, 1).writable(),
    Field::scalar("n_proto", 10, 2).writable(),
    Field::scalar("sport", 12, 2).writable(),
    Field::scalar("dport", 14, 2).writable(),
    Field::scalar("ipv4_src", 16, 4).writable(),
    Field::scalar("ipv4_dst", 20, 4).writable(),
    Field::scalar("ipv6_src[0]", 16, 4).writable(),
    Field::scalar("ipv6_src[1]", 20, 4).writable(),
    Field::scalar("ipv6_src[2]", 24, 4).writable(),
    Field::scalar("ipv6_src[3]", 28, 4).writable(),
    Field::scalar("ipv6_dst[0]", 32, 4).writable(),
    Field::scalar("ipv6_dst[1]", 36, 4).writable(),
    Field::scalar("ipv6_dst[2]", 40, 4).writable(),
    Field::scalar("ipv6_dst[3]", 44, 4).writable(),
    Field::scalar("flags", 64, 4).writable(),
    Field::scalar("flow_label", 68, 4).writable(),
];

/// What a flow dissector fills in.
pub static FLOW_KEYS: ContextLayout = ContextLayout {
    name: "bpf_flow_keys",
    size: 72,
    fields: &KEYS,
    kind: ContextKind::Flat,
};
