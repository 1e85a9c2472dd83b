//! The structures of Linux's user API that programs reach by name: contexts, packet headers, parameters of helpers.
//!
//! Programs that are compiled with a `vmlinux.h` ask CO-RE for the places of these too. Invariant: the places are those of
//! the user API, which never move; what a program may touch of a context is checked where it touches it.

use skep_btf::parse_c::CTypes;
use skep_btf::{Btf, BtfError};

/// The declarations, as `crates/skep-btf/src/parse_c.rs` reads C.
const DECLARATIONS: &str = "
struct bpf_flow_keys {
    u16 nhoff; u16 thoff; u16 addr_proto; u8 is_frag; u8 is_first_frag; u8 is_encap; u8 ip_proto;
    u16 n_proto; u16 sport; u16 dport;
    union {
        struct { u32 ipv4_src; u32 ipv4_dst; };
        struct { u32 ipv6_src[4]; u32 ipv6_dst[4]; };
    };
    u32 flags; u32 flow_label;
};
struct bpf_sock {
    u32 bound_dev_if; u32 family; u32 type; u32 protocol; u32 mark; u32 priority;
    u32 src_ip4; u32 src_ip6[4]; u32 src_port; u16 dst_port; u32 dst_ip4; u32 dst_ip6[4]; u32 state; s32 rx_queue_mapping;
};
struct __sk_buff {
    u32 len; u32 pkt_type; u32 mark; u32 queue_mapping; u32 protocol; u32 vlan_present; u32 vlan_tci; u32 vlan_proto;
    u32 priority; u32 ingress_ifindex; u32 ifindex; u32 tc_index; u32 cb[5]; u32 hash; u32 tc_classid; u32 data;
    u32 data_end; u32 napi_id; u32 family; u32 remote_ip4; u32 local_ip4; u32 remote_ip6[4]; u32 local_ip6[4];
    u32 remote_port; u32 local_port; u32 data_meta;
    union { struct bpf_flow_keys *flow_keys; };
    u64 tstamp; u32 wire_len; u32 gso_segs;
    union { struct bpf_sock *sk; };
    u32 gso_size; u8 tstamp_type; u64 hwtstamp;
};
struct xdp_md { u32 data; u32 data_end; u32 data_meta; u32 ingress_ifindex; u32 rx_queue_index; u32 egress_ifindex; };
struct bpf_devmap_val { u32 ifindex; union { int fd; u32 id; } bpf_prog; };
struct bpf_cpumap_val { u32 qsize; union { int fd; u32 id; } bpf_prog; };
struct bpf_fib_lookup {
    u8 family; u8 l4_protocol; u16 sport; u16 dport;
    union { u16 tot_len; u16 mtu_result; };
    u32 ifindex;
    union { u8 tos; u32 flowinfo; u32 rt_metric; };
    union { u32 ipv4_src; u32 ipv6_src[4]; };
    union { u32 ipv4_dst; u32 ipv6_dst[4]; };
    union { struct { u16 h_vlan_proto; u16 h_vlan_TCI; }; u32 tbid; };
    union { struct { u32 mark; }; struct { u8 smac[6]; u8 dmac[6]; }; };
};
struct bpf_redir_neigh { u32 nh_family; union { u32 ipv4_nh; u32 ipv6_nh[4]; }; };
struct bpf_sock_tuple {
    union {
        struct { u32 saddr; u32 daddr; u16 sport; u16 dport; } ipv4;
        struct { u32 saddr[4]; u32 daddr[4]; u16 sport; u16 dport; } ipv6;
    };
};
struct bpf_tunnel_key {
    u32 tunnel_id;
    union { u32 remote_ipv4; u32 remote_ipv6[4]; };
    u8 tunnel_tos; u8 tunnel_ttl;
    union { u16 tunnel_ext; u16 tunnel_flags; };
    u32 tunnel_label;
    union { u32 local_ipv4; u32 local_ipv6[4]; };
};
struct in_addr { u32 s_addr; };
struct in6_addr { union { u8 u6_addr8[16]; u16 u6_addr16[8]; u32 u6_addr32[4]; } in6_u; };
struct ethhdr { unsigned char h_dest[6]; unsigned char h_source[6]; u16 h_proto; };
struct vlan_hdr { u16 h_vlan_TCI; u16 h_vlan_encapsulated_proto; };
struct vlan_ethhdr {
    union {
        struct { unsigned char h_dest[6]; unsigned char h_source[6]; };
        struct { unsigned char h_dest[6]; unsigned char h_source[6]; } addrs;
    };
    u16 h_vlan_proto; u16 h_vlan_TCI; u16 h_vlan_encapsulated_proto;
};
struct arphdr { u16 ar_hrd; u16 ar_pro; unsigned char ar_hln; unsigned char ar_pln; u16 ar_op; };
struct iphdr {
    u8 ihl : 4; u8 version : 4; u8 tos; u16 tot_len; u16 id; u16 frag_off; u8 ttl; u8 protocol; u16 check;
    union { struct { u32 saddr; u32 daddr; }; struct { u32 saddr; u32 daddr; } addrs; };
};
struct ipv6_opt_hdr { u8 nexthdr; u8 hdrlen; };
struct frag_hdr { u8 nexthdr; u8 reserved; u16 frag_off; u32 identification; };
struct ipv6hdr {
    u8 priority : 4; u8 version : 4; u8 flow_lbl[3]; u16 payload_len; u8 nexthdr; u8 hop_limit;
    union {
        struct { struct in6_addr saddr; struct in6_addr daddr; };
        struct { struct in6_addr saddr; struct in6_addr daddr; } addrs;
    };
};
struct tcphdr {
    u16 source; u16 dest; u32 seq; u32 ack_seq;
    u16 ae : 1; u16 res1 : 3; u16 doff : 4;
    u16 fin : 1; u16 syn : 1; u16 rst : 1; u16 psh : 1; u16 ack : 1; u16 urg : 1; u16 ece : 1; u16 cwr : 1;
    u16 window; u16 check; u16 urg_ptr;
};
struct udphdr { u16 source; u16 dest; u16 len; u16 check; };
struct icmphdr {
    u8 type; u8 code; u16 checksum;
    union { struct { u16 id; u16 sequence; } echo; u32 gateway; struct { u16 __unused; u16 mtu; } frag; u8 reserved[4]; } un;
};
struct icmpv6_echo { u16 identifier; u16 sequence; };
struct icmp6hdr {
    u8 icmp6_type; u8 icmp6_code; u16 icmp6_cksum;
    union { u32 un_data32[1]; u16 un_data16[2]; u8 un_data8[4]; struct icmpv6_echo u_echo; } icmp6_dataun;
};
";

/// The structures as BTF of their own.
pub(crate) fn btf() -> Result<Btf, BtfError> {
    let mut types = CTypes::new();
    types.declare(DECLARATIONS).map_err(BtfError::Malformed)?;
    types.into_builder().into_btf()
}

#[cfg(test)]
mod tests;
