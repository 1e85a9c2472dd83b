//! Kinds of program and places to attach them.
//!
//! Numbers and names: enum bpf_prog_type and enum bpf_attach_type of include/uapi/linux/bpf.h (Linux 7.2).

use crate::map::kernel_enum;

kernel_enum! {
/// A kind of program.
"program type" ProgramType {
    SocketFilter = 1, "socket_filter", "BPF_PROG_TYPE_SOCKET_FILTER", "3.19";
    Kprobe = 2, "kprobe", "BPF_PROG_TYPE_KPROBE", "4.1";
    SchedCls = 3, "sched_cls", "BPF_PROG_TYPE_SCHED_CLS", "4.1";
    SchedAct = 4, "sched_act", "BPF_PROG_TYPE_SCHED_ACT", "4.1";
    Tracepoint = 5, "tracepoint", "BPF_PROG_TYPE_TRACEPOINT", "4.7";
    Xdp = 6, "xdp", "BPF_PROG_TYPE_XDP", "4.8";
    PerfEvent = 7, "perf_event", "BPF_PROG_TYPE_PERF_EVENT", "4.9";
    CgroupSkb = 8, "cgroup_skb", "BPF_PROG_TYPE_CGROUP_SKB", "4.10";
    CgroupSock = 9, "cgroup_sock", "BPF_PROG_TYPE_CGROUP_SOCK", "4.10";
    LwtIn = 10, "lwt_in", "BPF_PROG_TYPE_LWT_IN", "4.10";
    LwtOut = 11, "lwt_out", "BPF_PROG_TYPE_LWT_OUT", "4.10";
    LwtXmit = 12, "lwt_xmit", "BPF_PROG_TYPE_LWT_XMIT", "4.10";
    SockOps = 13, "sock_ops", "BPF_PROG_TYPE_SOCK_OPS", "4.13";
    SkSkb = 14, "sk_skb", "BPF_PROG_TYPE_SK_SKB", "4.14";
    CgroupDevice = 15, "cgroup_device", "BPF_PROG_TYPE_CGROUP_DEVICE", "4.15";
    SkMsg = 16, "sk_msg", "BPF_PROG_TYPE_SK_MSG", "4.17";
    RawTracepoint = 17, "raw_tracepoint", "BPF_PROG_TYPE_RAW_TRACEPOINT", "4.17";
    CgroupSockAddr = 18, "cgroup_sock_addr", "BPF_PROG_TYPE_CGROUP_SOCK_ADDR", "4.17";
    LwtSeg6local = 19, "lwt_seg6local", "BPF_PROG_TYPE_LWT_SEG6LOCAL", "4.18";
    LircMode2 = 20, "lirc_mode2", "BPF_PROG_TYPE_LIRC_MODE2", "4.18";
    SkReuseport = 21, "sk_reuseport", "BPF_PROG_TYPE_SK_REUSEPORT", "4.19";
    FlowDissector = 22, "flow_dissector", "BPF_PROG_TYPE_FLOW_DISSECTOR", "4.20";
    CgroupSysctl = 23, "cgroup_sysctl", "BPF_PROG_TYPE_CGROUP_SYSCTL", "5.2";
    RawTracepointWritable = 24, "raw_tracepoint_writable", "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE", "5.2";
    CgroupSockopt = 25, "cgroup_sockopt", "BPF_PROG_TYPE_CGROUP_SOCKOPT", "5.3";
    Tracing = 26, "tracing", "BPF_PROG_TYPE_TRACING", "5.5";
    StructOps = 27, "struct_ops", "BPF_PROG_TYPE_STRUCT_OPS", "5.6";
    Ext = 28, "ext", "BPF_PROG_TYPE_EXT", "5.6";
    Lsm = 29, "lsm", "BPF_PROG_TYPE_LSM", "5.7";
    SkLookup = 30, "sk_lookup", "BPF_PROG_TYPE_SK_LOOKUP", "5.9";
    Syscall = 31, "syscall", "BPF_PROG_TYPE_SYSCALL", "5.14";
    Netfilter = 32, "netfilter", "BPF_PROG_TYPE_NETFILTER", "6.4";
}
}

kernel_enum! {
/// Where a program of a kind is attached. Zero is a real place (`cgroup_inet_ingress`), so "none" is `Option::None`.
"attach type" AttachType {
    CgroupInetIngress = 0, "cgroup_inet_ingress", "BPF_CGROUP_INET_INGRESS", "4.10";
    CgroupInetEgress = 1, "cgroup_inet_egress", "BPF_CGROUP_INET_EGRESS", "4.10";
    CgroupInetSockCreate = 2, "cgroup_inet_sock_create", "BPF_CGROUP_INET_SOCK_CREATE", "4.10";
    CgroupSockOps = 3, "cgroup_sock_ops", "BPF_CGROUP_SOCK_OPS", "4.13";
    SkSkbStreamParser = 4, "sk_skb_stream_parser", "BPF_SK_SKB_STREAM_PARSER", "4.14";
    SkSkbStreamVerdict = 5, "sk_skb_stream_verdict", "BPF_SK_SKB_STREAM_VERDICT", "4.14";
    CgroupDevice = 6, "cgroup_device", "BPF_CGROUP_DEVICE", "4.15";
    SkMsgVerdict = 7, "sk_msg_verdict", "BPF_SK_MSG_VERDICT", "4.17";
    CgroupInet4Bind = 8, "cgroup_inet4_bind", "BPF_CGROUP_INET4_BIND", "4.17";
    CgroupInet6Bind = 9, "cgroup_inet6_bind", "BPF_CGROUP_INET6_BIND", "4.17";
    CgroupInet4Connect = 10, "cgroup_inet4_connect", "BPF_CGROUP_INET4_CONNECT", "4.17";
    CgroupInet6Connect = 11, "cgroup_inet6_connect", "BPF_CGROUP_INET6_CONNECT", "4.17";
    CgroupInet4PostBind = 12, "cgroup_inet4_post_bind", "BPF_CGROUP_INET4_POST_BIND", "4.17";
    CgroupInet6PostBind = 13, "cgroup_inet6_post_bind", "BPF_CGROUP_INET6_POST_BIND", "4.17";
    CgroupUdp4Sendmsg = 14, "cgroup_udp4_sendmsg", "BPF_CGROUP_UDP4_SENDMSG", "4.18";
    CgroupUdp6Sendmsg = 15, "cgroup_udp6_sendmsg", "BPF_CGROUP_UDP6_SENDMSG", "4.18";
    LircMode2 = 16, "lirc_mode2", "BPF_LIRC_MODE2", "4.18";
    FlowDissector = 17, "flow_dissector", "BPF_FLOW_DISSECTOR", "4.20";
    CgroupSysctl = 18, "cgroup_sysctl", "BPF_CGROUP_SYSCTL", "5.2";
    CgroupUdp4Recvmsg = 19, "cgroup_udp4_recvmsg", "BPF_CGROUP_UDP4_RECVMSG", "5.2";
    CgroupUdp6Recvmsg = 20, "cgroup_udp6_recvmsg", "BPF_CGROUP_UDP6_RECVMSG", "5.2";
    CgroupGetsockopt = 21, "cgroup_getsockopt", "BPF_CGROUP_GETSOCKOPT", "5.3";
    CgroupSetsockopt = 22, "cgroup_setsockopt", "BPF_CGROUP_SETSOCKOPT", "5.3";
    TraceRawTp = 23, "trace_raw_tp", "BPF_TRACE_RAW_TP", "5.5";
    TraceFentry = 24, "trace_fentry", "BPF_TRACE_FENTRY", "5.5";
    TraceFexit = 25, "trace_fexit", "BPF_TRACE_FEXIT", "5.5";
    ModifyReturn = 26, "modify_return", "BPF_MODIFY_RETURN", "5.7";
    LsmMac = 27, "lsm_mac", "BPF_LSM_MAC", "5.7";
    TraceIter = 28, "trace_iter", "BPF_TRACE_ITER", "5.8";
    CgroupInet4Getpeername = 29, "cgroup_inet4_getpeername", "BPF_CGROUP_INET4_GETPEERNAME", "5.8";
    CgroupInet6Getpeername = 30, "cgroup_inet6_getpeername", "BPF_CGROUP_INET6_GETPEERNAME", "5.8";
    CgroupInet4Getsockname = 31, "cgroup_inet4_getsockname", "BPF_CGROUP_INET4_GETSOCKNAME", "5.8";
    CgroupInet6Getsockname = 32, "cgroup_inet6_getsockname", "BPF_CGROUP_INET6_GETSOCKNAME", "5.8";
    XdpDevmap = 33, "xdp_devmap", "BPF_XDP_DEVMAP", "5.8";
    CgroupInetSockRelease = 34, "cgroup_inet_sock_release", "BPF_CGROUP_INET_SOCK_RELEASE", "5.9";
    XdpCpumap = 35, "xdp_cpumap", "BPF_XDP_CPUMAP", "5.9";
    SkLookup = 36, "sk_lookup", "BPF_SK_LOOKUP", "5.9";
    Xdp = 37, "xdp", "BPF_XDP", "5.9";
    SkSkbVerdict = 38, "sk_skb_verdict", "BPF_SK_SKB_VERDICT", "5.13";
    SkReuseportSelect = 39, "sk_reuseport_select", "BPF_SK_REUSEPORT_SELECT", "5.14";
    SkReuseportSelectOrMigrate = 40, "sk_reuseport_select_or_migrate", "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE", "5.14";
    PerfEvent = 41, "perf_event", "BPF_PERF_EVENT", "5.15";
    TraceKprobeMulti = 42, "trace_kprobe_multi", "BPF_TRACE_KPROBE_MULTI", "5.18";
    LsmCgroup = 43, "lsm_cgroup", "BPF_LSM_CGROUP", "6.0";
    StructOps = 44, "struct_ops", "BPF_STRUCT_OPS", "6.4";
    Netfilter = 45, "netfilter", "BPF_NETFILTER", "6.4";
    TcxIngress = 46, "tcx_ingress", "BPF_TCX_INGRESS", "6.6";
    TcxEgress = 47, "tcx_egress", "BPF_TCX_EGRESS", "6.6";
    TraceUprobeMulti = 48, "trace_uprobe_multi", "BPF_TRACE_UPROBE_MULTI", "6.6";
    CgroupUnixConnect = 49, "cgroup_unix_connect", "BPF_CGROUP_UNIX_CONNECT", "6.7";
    CgroupUnixSendmsg = 50, "cgroup_unix_sendmsg", "BPF_CGROUP_UNIX_SENDMSG", "6.7";
    CgroupUnixRecvmsg = 51, "cgroup_unix_recvmsg", "BPF_CGROUP_UNIX_RECVMSG", "6.7";
    CgroupUnixGetpeername = 52, "cgroup_unix_getpeername", "BPF_CGROUP_UNIX_GETPEERNAME", "6.7";
    CgroupUnixGetsockname = 53, "cgroup_unix_getsockname", "BPF_CGROUP_UNIX_GETSOCKNAME", "6.7";
    NetkitPrimary = 54, "netkit_primary", "BPF_NETKIT_PRIMARY", "6.7";
    NetkitPeer = 55, "netkit_peer", "BPF_NETKIT_PEER", "6.7";
    TraceKprobeSession = 56, "trace_kprobe_session", "BPF_TRACE_KPROBE_SESSION", "6.10";
    TraceUprobeSession = 57, "trace_uprobe_session", "BPF_TRACE_UPROBE_SESSION", "6.13";
    TraceFsession = 58, "trace_fsession", "BPF_TRACE_FSESSION", "7.0";
    TraceFentryMulti = 59, "trace_fentry_multi", "BPF_TRACE_FENTRY_MULTI", "7.2";
    TraceFexitMulti = 60, "trace_fexit_multi", "BPF_TRACE_FEXIT_MULTI", "7.2";
    TraceFsessionMulti = 61, "trace_fsession_multi", "BPF_TRACE_FSESSION_MULTI", "7.2";
}
}

impl ProgramType {
    /// Whether its context is a packet with `data` and `data_end` that it may read directly.
    pub const fn has_packet_access(self) -> bool {
        matches!(
            self,
            ProgramType::Xdp
                | ProgramType::SchedCls
                | ProgramType::SchedAct
                | ProgramType::SkSkb
                | ProgramType::SkMsg
                | ProgramType::LwtIn
                | ProgramType::LwtOut
                | ProgramType::LwtXmit
                | ProgramType::LwtSeg6local
                | ProgramType::CgroupSkb
                | ProgramType::FlowDissector
                | ProgramType::SkReuseport
        )
    }
}

/// Flags of a program at load.
pub mod flags {
    /// Check alignment of every access.
    pub const STRICT_ALIGNMENT: u32 = 1 << 0;
    /// Accept any alignment.
    pub const ANY_ALIGNMENT: u32 = 1 << 1;
    /// Test the zero extension of 32-bit results.
    pub const TEST_RND_HI32: u32 = 1 << 2;
    /// Test the frequency of the verifier's states.
    pub const TEST_STATE_FREQ: u32 = 1 << 3;
    /// The program may sleep.
    pub const SLEEPABLE: u32 = 1 << 4;
    /// An XDP program that handles frames in several fragments.
    pub const XDP_HAS_FRAGS: u32 = 1 << 5;
    /// An XDP program bound to a device for its metadata.
    pub const XDP_DEV_BOUND_ONLY: u32 = 1 << 6;
    /// Refuse what the verifier's own register checks find.
    pub const TEST_REG_INVARIANTS: u32 = 1 << 7;
    /// A token's file descriptor is given.
    pub const TOKEN_FD: u32 = 1 << 16;
}
