//! Contexts of programs on control groups: `bpf_sock`, `bpf_sock_addr`, `bpf_sockopt`, `bpf_sysctl`,
//! `bpf_cgroup_dev_ctx`. What is visible depends on the place of attachment.

use super::{ContextKind, ContextLayout, Field, FieldValue, variant};
use crate::program::AttachType;

const SOCK: [Field; 20] = [
    Field::whole("bound_dev_if", 0, 4),
    Field::scalar("family", 4, 4).leading(),
    Field::scalar("type", 8, 4).leading(),
    Field::scalar("protocol", 12, 4).leading(),
    Field::whole("mark", 16, 4),
    Field::whole("priority", 20, 4),
    Field::scalar("src_ip4", 24, 4),
    Field::scalar("src_ip6[0]", 28, 4),
    Field::scalar("src_ip6[1]", 32, 4),
    Field::scalar("src_ip6[2]", 36, 4),
    Field::scalar("src_ip6[3]", 40, 4),
    Field::scalar("src_port", 44, 4).leading(),
    Field::scalar("dst_port", 48, 2).reaching(4),
    Field::scalar("dst_ip4", 52, 4),
    Field::scalar("dst_ip6[0]", 56, 4),
    Field::scalar("dst_ip6[1]", 60, 4),
    Field::scalar("dst_ip6[2]", 64, 4),
    Field::scalar("dst_ip6[3]", 68, 4),
    Field::scalar("state", 72, 4).leading(),
    Field::scalar("rx_queue_mapping", 76, 4).leading(),
];

/// For the creation and release of a socket.
pub static SOCK_CREATE: ContextLayout = ContextLayout {
    name: "bpf_sock",
    size: 80,
    fields: &variant(
        SOCK,
        &["src_ip4", "src_ip6", "src_port"],
        &["bound_dev_if", "mark", "priority"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// After an IPv4 bind.
pub static SOCK_POST_BIND4: ContextLayout = ContextLayout {
    name: "bpf_sock",
    size: 80,
    fields: &variant(
        SOCK,
        &["bound_dev_if", "mark", "priority", "src_ip6"],
        &[],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// After an IPv6 bind.
pub static SOCK_POST_BIND6: ContextLayout = ContextLayout {
    name: "bpf_sock",
    size: 80,
    fields: &variant(
        SOCK,
        &["bound_dev_if", "mark", "priority", "src_ip4"],
        &[],
        &[],
    ),
    kind: ContextKind::Converted,
};

const ADDR: [Field; 16] = [
    Field::whole("user_family", 0, 4),
    Field::scalar("user_ip4", 4, 4),
    Field::scalar("user_ip6[0]", 8, 4).reaching(8),
    Field::scalar("user_ip6[1]", 12, 4),
    Field::scalar("user_ip6[2]", 16, 4).reaching(8),
    Field::scalar("user_ip6[3]", 20, 4),
    Field::scalar("user_port", 24, 4),
    Field::whole("family", 28, 4),
    Field::whole("type", 32, 4),
    Field::whole("protocol", 36, 4),
    Field::scalar("msg_src_ip4", 40, 4),
    Field::scalar("msg_src_ip6[0]", 44, 4),
    Field::scalar("msg_src_ip6[1]", 48, 4).reaching(8),
    Field::scalar("msg_src_ip6[2]", 52, 4),
    Field::scalar("msg_src_ip6[3]", 56, 4),
    Field::pointer("sk", 64, 8, FieldValue::Pointer("bpf_sock")),
];

/// For IPv4 addresses.
pub static ADDR4: ContextLayout = ContextLayout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &variant(
        ADDR,
        &["user_ip6", "msg_src_ip4", "msg_src_ip6"],
        &["user_ip4", "user_port"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// For the IPv4 address of a datagram.
pub static ADDR4_SENDMSG: ContextLayout = ContextLayout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &variant(
        ADDR,
        &["user_ip6", "msg_src_ip6"],
        &["user_ip4", "user_port", "msg_src_ip4"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// For IPv6 addresses.
pub static ADDR6: ContextLayout = ContextLayout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &variant(
        ADDR,
        &["user_ip4", "msg_src_ip4", "msg_src_ip6"],
        &["user_ip6", "user_port"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// For the IPv6 address of a datagram.
pub static ADDR6_SENDMSG: ContextLayout = ContextLayout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &variant(
        ADDR,
        &["user_ip4", "msg_src_ip4"],
        &["user_ip6", "user_port", "msg_src_ip6"],
        &[],
    ),
    kind: ContextKind::Converted,
};

/// For unix addresses.
pub static ADDR_UNIX: ContextLayout = ContextLayout {
    name: "bpf_sock_addr",
    size: 72,
    fields: &variant(
        ADDR,
        &["user_ip4", "user_ip6", "msg_src_ip4", "msg_src_ip6"],
        &["user_port"],
        &[],
    ),
    kind: ContextKind::Converted,
};

const SOCKOPT: [Field; 7] = [
    Field::pointer("sk", 0, 8, FieldValue::Pointer("bpf_sock")),
    Field::pointer("optval", 8, 8, FieldValue::PacketStart),
    Field::pointer("optval_end", 16, 8, FieldValue::PacketEnd),
    Field::whole("level", 24, 4),
    Field::whole("optname", 28, 4),
    Field::whole("optlen", 32, 4),
    Field::whole("retval", 36, 4),
];

/// For getsockopt(2), after the kernel has answered.
pub static GETSOCKOPT: ContextLayout = ContextLayout {
    name: "bpf_sockopt",
    size: 40,
    fields: &variant(SOCKOPT, &[], &["optlen", "retval"], &[]),
    kind: ContextKind::Converted,
};

/// For setsockopt(2), before the kernel acts.
pub static SETSOCKOPT: ContextLayout = ContextLayout {
    name: "bpf_sockopt",
    size: 40,
    fields: &variant(SOCKOPT, &["retval"], &["level", "optname", "optlen"], &[]),
    kind: ContextKind::Converted,
};

/// For sysctl files.
pub static SYSCTL: ContextLayout = ContextLayout {
    name: "bpf_sysctl",
    size: 8,
    fields: &[
        Field::scalar("write", 0, 4),
        Field::scalar("file_pos", 4, 4).writable(),
    ],
    kind: ContextKind::Converted,
};

/// For opening device files.
pub static DEVICE: ContextLayout = ContextLayout {
    name: "bpf_cgroup_dev_ctx",
    size: 12,
    fields: &[
        Field::scalar("access_type", 0, 4),
        Field::whole("major", 4, 4),
        Field::whole("minor", 8, 4),
    ],
    kind: ContextKind::Converted,
};

/// `bpf_sock` as it is seen at that place.
pub fn sock(attach: Option<AttachType>) -> &'static ContextLayout {
    match attach {
        Some(AttachType::CgroupInet4PostBind) => &SOCK_POST_BIND4,
        Some(AttachType::CgroupInet6PostBind) => &SOCK_POST_BIND6,
        _ => &SOCK_CREATE,
    }
}

/// `bpf_sock_addr` as it is seen at that place.
pub fn sock_addr(attach: Option<AttachType>) -> &'static ContextLayout {
    match attach {
        Some(AttachType::CgroupUdp4Sendmsg) => &ADDR4_SENDMSG,
        Some(AttachType::CgroupUdp6Sendmsg) => &ADDR6_SENDMSG,
        Some(
            AttachType::CgroupInet6Bind
            | AttachType::CgroupInet6Connect
            | AttachType::CgroupInet6Getpeername
            | AttachType::CgroupInet6Getsockname
            | AttachType::CgroupUdp6Recvmsg,
        ) => &ADDR6,
        Some(
            AttachType::CgroupUnixConnect
            | AttachType::CgroupUnixSendmsg
            | AttachType::CgroupUnixRecvmsg
            | AttachType::CgroupUnixGetpeername
            | AttachType::CgroupUnixGetsockname,
        ) => &ADDR_UNIX,
        _ => &ADDR4,
    }
}

/// `bpf_sockopt` as it is seen at that place.
pub fn sockopt(attach: Option<AttachType>) -> &'static ContextLayout {
    match attach {
        Some(AttachType::CgroupGetsockopt) => &GETSOCKOPT,
        _ => &SETSOCKOPT,
    }
}
