//! What each hook puts into its context.

use super::*;

fn field(ctx: &PacketCtx, name: &str) -> u64 {
    ctx.field(name).unwrap()
}

/// An IPv4 packet behind one VLAN tag (7), to a broadcast address.
fn tagged() -> Vec<u8> {
    let mut f = vec![0xff; 6];
    f.extend([2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 8, 0, 0x45]);
    f.extend([0; 11]);
    f.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    f
}

fn untagged() -> Vec<u8> {
    let mut f = tagged();
    f.drain(12..16);
    f
}

const PORT: Port = Port {
    ifindex: 3,
    queue: 2,
    mac: [2, 0, 0, 0, 0, 9],
    broadcast: [0xff; 6],
};

#[test]
fn tc_may_take_the_tag_out_as_a_device_does() {
    let mut ctx = Hook::Tc { untag_vlan: false }.context();
    Hook::Tc { untag_vlan: false }
        .load(&mut ctx, &tagged(), LinkType::ETHERNET, &PORT)
        .unwrap();
    assert_eq!((field(&ctx, "len"), field(&ctx, "vlan_present")), (38, 0));
    assert_eq!(field(&ctx, "protocol"), u64::from(0x8100u16.to_be()));
    assert_eq!(
        (
            field(&ctx, "pkt_type"),
            field(&ctx, "ifindex"),
            field(&ctx, "wire_len")
        ),
        (1, 3, 38)
    );

    Hook::Tc { untag_vlan: true }
        .load(&mut ctx, &tagged(), LinkType::ETHERNET, &PORT)
        .unwrap();
    assert_eq!(
        (
            field(&ctx, "len"),
            field(&ctx, "vlan_present"),
            field(&ctx, "vlan_tci")
        ),
        (34, 1, 7)
    );
    assert_eq!(field(&ctx, "vlan_proto"), u64::from(0x8100u16.to_be()));
    assert_eq!(field(&ctx, "protocol"), u64::from(0x0800u16.to_be()));
    assert_eq!(ctx.bytes(), untagged());
}

#[test]
fn a_cgroup_sees_the_addresses_and_no_mac_header() {
    let hook = Hook::CgroupSkb { ingress: true };
    let mut ctx = hook.context();
    hook.load(&mut ctx, &untagged(), LinkType::ETHERNET, &PORT)
        .unwrap();
    assert_eq!((field(&ctx, "len"), field(&ctx, "family")), (20, 2));
    assert_eq!(
        field(&ctx, "local_ip4"),
        u64::from(u32::from_ne_bytes([10, 0, 0, 1]))
    );
    assert_eq!(
        field(&ctx, "remote_ip4"),
        u64::from(u32::from_ne_bytes([10, 0, 0, 2]))
    );
    assert_eq!(
        hook.bytes(&ctx),
        untagged(),
        "the packet leaves with its MAC header"
    );
    assert_eq!((hook.judge(1), hook.judge(2), hook.judge(3)), (1, 0, 1));
    assert_eq!(Hook::CgroupSkb { ingress: false }.judge(2), 2);
}

#[test]
fn xdp_knows_the_interface_and_the_queue() {
    let hook = Hook::Xdp { frags: false };
    let mut ctx = hook.context();
    hook.load(&mut ctx, &tagged(), LinkType::ETHERNET, &PORT)
        .unwrap();
    assert_eq!(
        (
            field(&ctx, "ingress_ifindex"),
            field(&ctx, "rx_queue_index")
        ),
        (3, 2)
    );
    assert_eq!(
        hook.load(&mut ctx, &[0; 13], LinkType::ETHERNET, &PORT),
        Err(Unfit::Frame(FrameError::TooShort { len: 13 }))
    );
    assert_eq!(
        hook.load(&mut ctx, &tagged(), LinkType::RAW, &PORT),
        Err(Unfit::Link(LinkType::RAW))
    );
}

#[test]
fn answers_outside_of_the_table_are_the_last_verdict() {
    let name = |hook: Hook, r0: u64| hook.verdicts()[hook.judge(r0)].name;
    assert_eq!(name(Hook::Xdp { frags: false }, 4), "XDP_REDIRECT");
    assert_eq!(name(Hook::Xdp { frags: false }, 5), "XDP_INVALID");
    assert_eq!(name(Hook::Xdp { frags: false }, u64::MAX), "XDP_INVALID");
    assert_eq!(
        name(Hook::Xdp { frags: false }, 1 << 32 | 1),
        "XDP_DROP",
        "32 bits count"
    );
    let tc = Hook::Tc { untag_vlan: false };
    assert_eq!(
        (name(tc, u64::MAX), name(tc, 2), name(tc, 7)),
        ("TC_ACT_UNSPEC", "TC_ACT_SHOT", "TC_ACT_REDIRECT")
    );
    assert_eq!(
        (name(tc, 9), name(tc, -2i64 as u64)),
        ("TC_ACT_UNKNOWN", "TC_ACT_UNKNOWN")
    );
    assert_eq!(
        (name(Hook::Lwt, 128), name(Hook::Lwt, 3)),
        ("BPF_LWT_REROUTE", "BPF_INVALID")
    );
    assert_eq!(
        (
            name(Hook::Socket(SocketStart::Mac), 0),
            name(Hook::Socket(SocketStart::Mac), 9)
        ),
        ("drop", "keep")
    );
    for (program, expected) in [
        (ProgramType::SchedCls, Some(tc)),
        (ProgramType::Xdp, Some(Hook::Xdp { frags: true })),
        (ProgramType::Kprobe, None),
    ] {
        assert_eq!(Hook::for_program(program, None, true), expected);
    }
}
