//! The declarations give the user API's sizes and places, and the contexts' fields are where the context tables say.

use super::*;
use skep_btf::{Kind, Ty};
use skep_spec::context;
use skep_spec::program::ProgramType;

#[test]
fn sizes_are_the_user_apis() {
    let btf = btf().unwrap();
    let sizes = [
        ("ethhdr", 14),
        ("vlan_hdr", 4),
        ("vlan_ethhdr", 18),
        ("arphdr", 8),
        ("iphdr", 20),
        ("ipv6hdr", 40),
        ("tcphdr", 20),
        ("udphdr", 8),
        ("icmphdr", 8),
        ("icmp6hdr", 8),
        ("in6_addr", 16),
        ("xdp_md", 24),
        ("__sk_buff", 192),
        ("bpf_sock", 80),
        ("bpf_sock_tuple", 36),
        ("bpf_fib_lookup", 64),
        ("bpf_flow_keys", 56),
        ("bpf_tunnel_key", 44),
        ("bpf_redir_neigh", 20),
    ];
    for (name, size) in sizes {
        let id = btf
            .find(Kind::Struct, name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(btf.size_of(id).unwrap(), size, "{name}");
    }
}

#[test]
fn contexts_agree_with_the_context_tables() {
    let btf = btf().unwrap();
    for kind in [
        ProgramType::Xdp,
        ProgramType::SchedCls,
        ProgramType::SocketFilter,
    ] {
        let layout = context::for_program(kind, None);
        let id = btf.find(Kind::Struct, layout.name).unwrap();
        let mut checked = 0;
        for field in layout.fields {
            let (name, index) = field.name.split_once('[').unwrap_or((field.name, "0]"));
            let index: u32 = index.trim_end_matches(']').parse().unwrap();
            let found = btf
                .member(id, name)
                .unwrap()
                .unwrap_or_else(|| panic!("no {name}"));
            let element = match btf.resolved(found.member.ty).unwrap().1 {
                Ty::Array { elem, .. } => btf.size_of(elem).unwrap(),
                _ => 0,
            };
            assert_eq!(
                found.bit_offset / 8 + index * element,
                field.offset,
                "{name}"
            );
            checked += 1;
        }
        assert!(checked > 5, "{}: {checked} fields", layout.name);
    }
}
