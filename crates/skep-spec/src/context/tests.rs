//! Offsets and access rules as the kernel has them.

use super::*;

#[test]
fn fields_are_sorted_inside_and_do_not_overlap() {
    for (who, layout) in ALL {
        let mut end = 0;
        let mut offset = 0;
        for field in layout.fields {
            assert!(field.offset >= offset, "{who}: {}", field.name);
            assert!(field.offset >= end, "{who}: {} overlaps", field.name);
            assert!(
                field.size > 4096 || field.offset.is_multiple_of(field.size),
                "{who}: {}",
                field.name
            );
            end = field.offset + field.size;
            offset = field.offset;
            assert!(end <= layout.size, "{who}: {}", field.name);
        }
    }
}

#[test]
fn xdp_reads_words_only() {
    let layout = for_program(ProgramType::Xdp, Some(AttachType::Xdp));
    assert_eq!(
        layout.resolve(0, 4, false),
        Ok(Resolved::Slot(xdp::slot::DATA))
    );
    assert_eq!(
        layout.resolve(4, 4, false),
        Ok(Resolved::Slot(xdp::slot::DATA_END))
    );
    assert_eq!(
        layout.resolve(12, 4, false),
        Ok(Resolved::Part(8 * xdp::slot::INGRESS_IFINDEX as u32))
    );
    assert_eq!(
        layout.resolve(12, 2, false),
        Err(Refusal::Width("ingress_ifindex"))
    );
    assert_eq!(layout.resolve(0, 8, false), Err(Refusal::Width("data")));
    assert_eq!(layout.resolve(2, 4, false), Err(Refusal::Misaligned));
    assert_eq!(
        layout.resolve(16, 4, true),
        Err(Refusal::NotWritable("rx_queue_index"))
    );
    assert_eq!(
        layout.resolve(20, 4, false),
        Err(Refusal::NotReadable("egress_ifindex"))
    );
    assert_eq!(layout.resolve(24, 4, false), Err(Refusal::Outside));
    assert_eq!(layout.resolve(-4, 4, false), Err(Refusal::Outside));
    let devmap = for_program(ProgramType::Xdp, Some(AttachType::XdpDevmap));
    assert_eq!(devmap.resolve(20, 4, false), Ok(Resolved::Part(40)));
}

#[test]
fn offsets_of_sk_buff_are_those_of_the_header() {
    let layout = &skb::TC;
    assert_eq!(layout.size, 192);
    for (name, offset) in [
        ("len", 0),
        ("mark", 8),
        ("cb[0]", 48),
        ("hash", 68),
        ("data", 76),
        ("data_end", 80),
        ("family", 88),
        ("remote_ip6[0]", 100),
        ("local_port", 136),
        ("data_meta", 140),
        ("flow_keys", 144),
        ("tstamp", 152),
        ("wire_len", 160),
        ("gso_segs", 164),
        ("sk", 168),
        ("gso_size", 176),
        ("tstamp_type", 180),
        ("hwtstamp", 184),
    ] {
        assert_eq!(layout.field(name).unwrap().1.offset, offset, "{name}");
    }
    assert_eq!(layout.field("data").unwrap().0, skb::slot::DATA);
    assert_eq!(layout.field("hwtstamp").unwrap().0, skb::slot::HWTSTAMP);
}

#[test]
fn sk_buff_differs_by_program() {
    use ProgramType::*;
    let read = |program, name: &str, width| {
        let layout = for_program(program, None);
        let offset = layout.field(name).unwrap().1.offset;
        layout.resolve(i64::from(offset), width, false).is_ok()
    };
    let write = |program, name: &str, width| {
        let layout = for_program(program, None);
        let offset = layout.field(name).unwrap().1.offset;
        layout.resolve(i64::from(offset), width, true).is_ok()
    };
    assert!(
        read(SchedCls, "data", 4) && !read(SocketFilter, "data", 4) && read(CgroupSkb, "data", 4)
    );
    assert!(!read(SchedCls, "data", 2) && !read(SchedCls, "data", 8));
    assert!(
        read(SchedCls, "data_meta", 4)
            && !read(LwtIn, "data_meta", 4)
            && !read(SkSkb, "data_meta", 4)
    );
    assert!(
        read(SkSkb, "remote_ip4", 4)
            && !read(SkSkb, "remote_ip4", 2)
            && !read(SchedCls, "remote_ip4", 4)
    );
    assert!(!read(SkSkb, "mark", 4) && read(SocketFilter, "mark", 1));
    assert!(
        write(SchedCls, "mark", 4)
            && !write(SchedCls, "mark", 2)
            && !write(SocketFilter, "mark", 4)
    );
    assert!(
        write(SocketFilter, "cb[1]", 1)
            && write(SchedCls, "cb[0]", 8)
            && !write(SchedCls, "cb[4]", 8)
    );
    assert!(
        read(SchedCls, "tstamp", 8) && !read(SchedCls, "tstamp", 4) && write(SchedCls, "tstamp", 8)
    );
    assert!(read(SchedCls, "tstamp_type", 1) && !read(CgroupSkb, "tstamp_type", 1));
    assert!(read(FlowDissector, "flow_keys", 8) && !read(SchedCls, "flow_keys", 8));
    assert!(!read(FlowDissector, "len", 4) && read(FlowDissector, "data_end", 4));
    assert!(read(SocketFilter, "sk", 8) && !read(SocketFilter, "sk", 4));
}

#[test]
fn eight_bytes_of_cb_are_a_pair_of_slots() {
    let slot = skb::slot::CB;
    assert_eq!(skb::TC.resolve(48, 8, false), Ok(Resolved::Pair(slot)));
    assert_eq!(skb::TC.resolve(56, 8, true), Ok(Resolved::Pair(slot + 2)));
    assert_eq!(
        skb::TC.resolve(50, 2, true),
        Ok(Resolved::Part(8 * slot as u32 + 2))
    );
}

#[test]
fn socket_addresses_follow_the_attach_type() {
    let four = for_program(
        ProgramType::CgroupSockAddr,
        Some(AttachType::CgroupInet4Connect),
    );
    assert!(four.resolve(4, 4, true).is_ok());
    assert_eq!(
        four.resolve(8, 4, false),
        Err(Refusal::NotReadable("user_ip6[0]"))
    );
    let six = for_program(
        ProgramType::CgroupSockAddr,
        Some(AttachType::CgroupInet6Connect),
    );
    assert!(matches!(six.resolve(8, 8, true), Ok(Resolved::Pair(_))));
    assert!(matches!(six.resolve(16, 8, false), Ok(Resolved::Pair(_))));
    assert_eq!(
        six.resolve(4, 4, false),
        Err(Refusal::NotReadable("user_ip4"))
    );
    let send = for_program(
        ProgramType::CgroupSockAddr,
        Some(AttachType::CgroupUdp6Sendmsg),
    );
    let offset = i64::from(send.field("msg_src_ip6[1]").unwrap().1.offset);
    assert!(send.resolve(offset, 4, true).is_ok());
}

#[test]
fn port_of_bpf_sock_may_be_read_wide() {
    let layout = for_program(
        ProgramType::CgroupSock,
        Some(AttachType::CgroupInet4PostBind),
    );
    let (slot, field) = layout.field("dst_port").unwrap();
    assert_eq!((field.offset, field.size), (48, 2));
    assert_eq!(
        layout.resolve(48, 4, false),
        Ok(Resolved::Part(8 * slot as u32))
    );
    assert_eq!(
        layout.resolve(48, 2, false),
        Ok(Resolved::Part(8 * slot as u32))
    );
    assert_eq!(layout.resolve(50, 2, false), Err(Refusal::NoField));
    assert_eq!(layout.size, 80);
}

#[test]
fn a_reply_is_written_where_the_first_argument_was() {
    let layout = &socket::SOCK_OPS;
    let slot = layout.field("args[0]").unwrap().0;
    assert_eq!(
        layout.resolve(4, 4, true),
        Ok(Resolved::Part(8 * slot as u32))
    );
    assert!(layout.resolve(8, 4, true).is_err() && layout.resolve(8, 4, false).is_ok());
}

#[test]
fn sockopt_and_sysctl_writes() {
    let get = for_program(
        ProgramType::CgroupSockopt,
        Some(AttachType::CgroupGetsockopt),
    );
    let set = for_program(
        ProgramType::CgroupSockopt,
        Some(AttachType::CgroupSetsockopt),
    );
    let retval = i64::from(get.field("retval").unwrap().1.offset);
    assert!(get.resolve(retval, 4, true).is_ok() && set.resolve(retval, 4, false).is_err());
    let level = i64::from(get.field("level").unwrap().1.offset);
    assert!(get.resolve(level, 4, true).is_err() && set.resolve(level, 4, true).is_ok());
    assert!(
        cgroup::SYSCTL.resolve(4, 4, true).is_ok() && cgroup::SYSCTL.resolve(0, 4, true).is_err()
    );
}

#[test]
fn every_program_type_has_a_context() {
    for &program in ProgramType::ALL {
        let layout = for_program(program, None);
        assert!(layout.size > 0, "{program}");
        assert!(
            ALL.iter().any(|(_, known)| std::ptr::eq(*known, layout)),
            "{program}"
        );
    }
}

#[test]
fn plain_bytes_keep_their_offsets() {
    let record = for_program(ProgramType::Tracepoint, None);
    assert_eq!(record.resolve(16, 8, false), Ok(Resolved::Part(16)));
    assert_eq!(record.resolve(24, 4, false), Ok(Resolved::Part(24)));
    assert_eq!(
        record.resolve(0, 8, false),
        Err(Refusal::NotReadable("common fields"))
    );
    assert_eq!(
        record.resolve(16, 8, true),
        Err(Refusal::NotWritable("record"))
    );
    assert_eq!(record.resolve(8192, 8, false), Err(Refusal::Outside));
    let call = for_program(ProgramType::Syscall, None);
    assert_eq!(call.resolve(40, 4, true), Ok(Resolved::Part(40)));
}
