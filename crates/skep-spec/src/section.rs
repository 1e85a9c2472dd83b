//! What the name of a program's section says: kind of program, place of attachment, flags, what to attach to.
//!
//! Source: the 116 forms of libbpf 1.8 (`section_defs`). Matching is libbpf's: `x` is exact, `x+` is `x` or `x/rest`,
//! a leading `?` means that the program is not loaded unless it is asked for. The first form that matches wins.

use crate::program::{AttachType, ProgramType};

use self::AutoAttach as Auto;
use AttachType as A;
use ProgramType as P;

/// One form of section name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionForm {
    /// The name; a trailing `+` means that `/rest` may follow.
    pub pattern: &'static str,
    /// The kind of program.
    pub program_type: ProgramType,
    /// The expected attach type, where the kind has one.
    pub attach_type: Option<AttachType>,
    /// [`SectionForm::SLEEPABLE`] and so on.
    pub flags: u8,
    /// How a loader attaches it without being told more.
    pub auto_attach: Option<AutoAttach>,
}

/// How the rest of the name says what to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAttach {
    /// A kernel function: `/name[+offset]`.
    Kprobe,
    /// Kernel functions: `/pattern`, with `*` and `?`.
    KprobeMulti,
    /// A system call's kernel function: `/name`.
    Ksyscall,
    /// A function of a file: `/path:name[+offset]`.
    Uprobe,
    /// Functions of a file: `/path:pattern`.
    UprobeMulti,
    /// A static probe: `/path:provider:name`.
    Usdt,
    /// A tracepoint: `/category/name`.
    Tracepoint,
    /// A raw tracepoint: `/name`.
    RawTracepoint,
    /// A kernel function or hook by its BTF: `/name`.
    Trampoline,
    /// Kernel functions by BTF: `/[module:]pattern`.
    TrampolineMulti,
    /// An iterator: `/what`.
    Iterator,
}

impl SectionForm {
    /// The program may sleep.
    pub const SLEEPABLE: u8 = 1;
    /// The program handles frames in several fragments.
    pub const FRAGS: u8 = 2;
    /// What it attaches to is found in BTF.
    pub const ATTACH_BTF: u8 = 4;
    /// The attach type is not passed to kernels that do not know it.
    pub const ATTACH_TYPE_OPTIONAL: u8 = 8;

    /// Whether the program may sleep.
    pub const fn sleepable(&self) -> bool {
        self.flags & SectionForm::SLEEPABLE != 0
    }

    /// Whether the program handles frames in several fragments.
    pub const fn xdp_frags(&self) -> bool {
        self.flags & SectionForm::FRAGS != 0
    }

    /// The name without the `+`.
    pub fn name(&self) -> &'static str {
        self.pattern.strip_suffix('+').unwrap_or(self.pattern)
    }

    /// Whether `/rest` may follow.
    pub fn takes_target(&self) -> bool {
        self.pattern.ends_with('+')
    }

    /// The rest of `section` after `/`, if this form matches it: `Some(None)` for the bare name.
    fn matches<'a>(&self, section: &'a str) -> Option<Option<&'a str>> {
        let rest = section.strip_prefix(self.name())?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some(None),
            Some(target) if self.takes_target() => Some(Some(target)),
            _ => None,
        }
    }
}

/// What a section's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedSection<'a> {
    /// The form that it has.
    pub form: &'static SectionForm,
    /// What follows the form's name and `/`: `syscalls/sys_enter_openat`.
    pub target: Option<&'a str>,
    /// False if the name starts with `?`.
    pub autoload: bool,
}

impl ParsedSection<'_> {
    /// The flags that the program is loaded with (`program::flags`).
    pub const fn program_flags(&self) -> u32 {
        let mut flags = 0;
        if self.form.sleepable() {
            flags |= crate::program::flags::SLEEPABLE;
        }
        if self.form.xdp_frags() {
            flags |= crate::program::flags::XDP_HAS_FRAGS;
        }
        flags
    }

    /// Whether the name says enough for the program to be attached without being told more.
    pub fn auto_attaches(&self) -> bool {
        self.form.auto_attach.is_some() && self.target.is_some_and(|target| !target.is_empty())
    }
}

/// Reads a section's name; `None` if it has none of the forms.
pub fn parse(section: &str) -> Option<ParsedSection<'_>> {
    let (name, autoload) = match section.strip_prefix('?') {
        Some(name) => (name, false),
        None => (section, true),
    };
    FORMS.iter().find_map(|form| {
        Some(ParsedSection {
            form,
            target: form.matches(name)?,
            autoload,
        })
    })
}

const SLEEPABLE: u8 = SectionForm::SLEEPABLE;
const FRAGS: u8 = SectionForm::FRAGS;
const BTF: u8 = SectionForm::ATTACH_BTF;
const OPTIONAL: u8 = SectionForm::ATTACH_TYPE_OPTIONAL;

const fn form(
    pattern: &'static str,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    flags: u8,
    auto_attach: Option<AutoAttach>,
) -> SectionForm {
    SectionForm {
        pattern,
        program_type,
        attach_type,
        flags,
        auto_attach,
    }
}

/// Every form, in the order in which they are tried.
#[rustfmt::skip]
pub static FORMS: &[SectionForm] = &[
    form("socket", P::SocketFilter, None, 0, None),
    form("sk_reuseport/migrate", P::SkReuseport, Some(A::SkReuseportSelectOrMigrate), 0, None),
    form("sk_reuseport", P::SkReuseport, Some(A::SkReuseportSelect), 0, None),
    form("kprobe+", P::Kprobe, None, 0, Some(Auto::Kprobe)),
    form("uprobe+", P::Kprobe, None, 0, Some(Auto::Uprobe)),
    form("uprobe.s+", P::Kprobe, None, SLEEPABLE, Some(Auto::Uprobe)),
    form("kretprobe+", P::Kprobe, None, 0, Some(Auto::Kprobe)),
    form("uretprobe+", P::Kprobe, None, 0, Some(Auto::Uprobe)),
    form("uretprobe.s+", P::Kprobe, None, SLEEPABLE, Some(Auto::Uprobe)),
    form("kprobe.multi+", P::Kprobe, Some(A::TraceKprobeMulti), 0, Some(Auto::KprobeMulti)),
    form("kretprobe.multi+", P::Kprobe, Some(A::TraceKprobeMulti), 0, Some(Auto::KprobeMulti)),
    form("kprobe.session+", P::Kprobe, Some(A::TraceKprobeSession), 0, Some(Auto::KprobeMulti)),
    form("uprobe.multi+", P::Kprobe, Some(A::TraceUprobeMulti), 0, Some(Auto::UprobeMulti)),
    form("uretprobe.multi+", P::Kprobe, Some(A::TraceUprobeMulti), 0, Some(Auto::UprobeMulti)),
    form("uprobe.session+", P::Kprobe, Some(A::TraceUprobeSession), 0, Some(Auto::UprobeMulti)),
    form("uprobe.multi.s+", P::Kprobe, Some(A::TraceUprobeMulti), SLEEPABLE, Some(Auto::UprobeMulti)),
    form("uretprobe.multi.s+", P::Kprobe, Some(A::TraceUprobeMulti), SLEEPABLE, Some(Auto::UprobeMulti)),
    form("uprobe.session.s+", P::Kprobe, Some(A::TraceUprobeSession), SLEEPABLE, Some(Auto::UprobeMulti)),
    form("ksyscall+", P::Kprobe, None, 0, Some(Auto::Ksyscall)),
    form("kretsyscall+", P::Kprobe, None, 0, Some(Auto::Ksyscall)),
    form("usdt+", P::Kprobe, None, 0, Some(Auto::Usdt)),
    form("usdt.s+", P::Kprobe, None, SLEEPABLE, Some(Auto::Usdt)),
    form("tc/ingress", P::SchedCls, Some(A::TcxIngress), 0, None),
    form("tc/egress", P::SchedCls, Some(A::TcxEgress), 0, None),
    form("tcx/ingress", P::SchedCls, Some(A::TcxIngress), 0, None),
    form("tcx/egress", P::SchedCls, Some(A::TcxEgress), 0, None),
    form("tc", P::SchedCls, None, 0, None),
    form("classifier", P::SchedCls, None, 0, None),
    form("action", P::SchedAct, None, 0, None),
    form("netkit/primary", P::SchedCls, Some(A::NetkitPrimary), 0, None),
    form("netkit/peer", P::SchedCls, Some(A::NetkitPeer), 0, None),
    form("tracepoint+", P::Tracepoint, None, 0, Some(Auto::Tracepoint)),
    form("tp+", P::Tracepoint, None, 0, Some(Auto::Tracepoint)),
    form("tracepoint.s+", P::Tracepoint, None, SLEEPABLE, Some(Auto::Tracepoint)),
    form("tp.s+", P::Tracepoint, None, SLEEPABLE, Some(Auto::Tracepoint)),
    form("raw_tracepoint+", P::RawTracepoint, None, 0, Some(Auto::RawTracepoint)),
    form("raw_tp+", P::RawTracepoint, None, 0, Some(Auto::RawTracepoint)),
    form("raw_tracepoint.s+", P::RawTracepoint, None, SLEEPABLE, Some(Auto::RawTracepoint)),
    form("raw_tp.s+", P::RawTracepoint, None, SLEEPABLE, Some(Auto::RawTracepoint)),
    form("raw_tracepoint.w+", P::RawTracepointWritable, None, 0, Some(Auto::RawTracepoint)),
    form("raw_tp.w+", P::RawTracepointWritable, None, 0, Some(Auto::RawTracepoint)),
    form("tp_btf+", P::Tracing, Some(A::TraceRawTp), BTF, Some(Auto::Trampoline)),
    form("tp_btf.s+", P::Tracing, Some(A::TraceRawTp), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("fentry+", P::Tracing, Some(A::TraceFentry), BTF, Some(Auto::Trampoline)),
    form("fmod_ret+", P::Tracing, Some(A::ModifyReturn), BTF, Some(Auto::Trampoline)),
    form("fexit+", P::Tracing, Some(A::TraceFexit), BTF, Some(Auto::Trampoline)),
    form("fentry.s+", P::Tracing, Some(A::TraceFentry), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("fmod_ret.s+", P::Tracing, Some(A::ModifyReturn), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("fexit.s+", P::Tracing, Some(A::TraceFexit), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("fsession+", P::Tracing, Some(A::TraceFsession), BTF, Some(Auto::Trampoline)),
    form("fsession.s+", P::Tracing, Some(A::TraceFsession), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("fsession.multi+", P::Tracing, Some(A::TraceFsessionMulti), 0, Some(Auto::TrampolineMulti)),
    form("fsession.multi.s+", P::Tracing, Some(A::TraceFsessionMulti), SLEEPABLE, Some(Auto::TrampolineMulti)),
    form("fentry.multi+", P::Tracing, Some(A::TraceFentryMulti), 0, Some(Auto::TrampolineMulti)),
    form("fexit.multi+", P::Tracing, Some(A::TraceFexitMulti), 0, Some(Auto::TrampolineMulti)),
    form("fentry.multi.s+", P::Tracing, Some(A::TraceFentryMulti), SLEEPABLE, Some(Auto::TrampolineMulti)),
    form("fexit.multi.s+", P::Tracing, Some(A::TraceFexitMulti), SLEEPABLE, Some(Auto::TrampolineMulti)),
    form("freplace+", P::Ext, None, BTF, Some(Auto::Trampoline)),
    form("lsm+", P::Lsm, Some(A::LsmMac), BTF, Some(Auto::Trampoline)),
    form("lsm.s+", P::Lsm, Some(A::LsmMac), SLEEPABLE | BTF, Some(Auto::Trampoline)),
    form("lsm_cgroup+", P::Lsm, Some(A::LsmCgroup), BTF, None),
    form("iter+", P::Tracing, Some(A::TraceIter), BTF, Some(Auto::Iterator)),
    form("iter.s+", P::Tracing, Some(A::TraceIter), SLEEPABLE | BTF, Some(Auto::Iterator)),
    form("syscall", P::Syscall, None, SLEEPABLE, None),
    form("xdp.frags/devmap", P::Xdp, Some(A::XdpDevmap), FRAGS, None),
    form("xdp/devmap", P::Xdp, Some(A::XdpDevmap), 0, None),
    form("xdp.frags/cpumap", P::Xdp, Some(A::XdpCpumap), FRAGS, None),
    form("xdp/cpumap", P::Xdp, Some(A::XdpCpumap), 0, None),
    form("xdp.frags", P::Xdp, Some(A::Xdp), FRAGS, None),
    form("xdp", P::Xdp, Some(A::Xdp), OPTIONAL, None),
    form("perf_event", P::PerfEvent, None, 0, None),
    form("lwt_in", P::LwtIn, None, 0, None),
    form("lwt_out", P::LwtOut, None, 0, None),
    form("lwt_xmit", P::LwtXmit, None, 0, None),
    form("lwt_seg6local", P::LwtSeg6local, None, 0, None),
    form("sockops", P::SockOps, Some(A::CgroupSockOps), OPTIONAL, None),
    form("sk_skb/stream_parser", P::SkSkb, Some(A::SkSkbStreamParser), OPTIONAL, None),
    form("sk_skb/stream_verdict", P::SkSkb, Some(A::SkSkbStreamVerdict), OPTIONAL, None),
    form("sk_skb/verdict", P::SkSkb, Some(A::SkSkbVerdict), OPTIONAL, None),
    form("sk_skb", P::SkSkb, None, 0, None),
    form("sk_msg", P::SkMsg, Some(A::SkMsgVerdict), OPTIONAL, None),
    form("lirc_mode2", P::LircMode2, Some(A::LircMode2), OPTIONAL, None),
    form("flow_dissector", P::FlowDissector, Some(A::FlowDissector), OPTIONAL, None),
    form("cgroup_skb/ingress", P::CgroupSkb, Some(A::CgroupInetIngress), OPTIONAL, None),
    form("cgroup_skb/egress", P::CgroupSkb, Some(A::CgroupInetEgress), OPTIONAL, None),
    form("cgroup/skb", P::CgroupSkb, None, 0, None),
    form("cgroup/sock_create", P::CgroupSock, Some(A::CgroupInetSockCreate), 0, None),
    form("cgroup/sock_release", P::CgroupSock, Some(A::CgroupInetSockRelease), 0, None),
    form("cgroup/sock", P::CgroupSock, Some(A::CgroupInetSockCreate), OPTIONAL, None),
    form("cgroup/post_bind4", P::CgroupSock, Some(A::CgroupInet4PostBind), 0, None),
    form("cgroup/post_bind6", P::CgroupSock, Some(A::CgroupInet6PostBind), 0, None),
    form("cgroup/bind4", P::CgroupSockAddr, Some(A::CgroupInet4Bind), 0, None),
    form("cgroup/bind6", P::CgroupSockAddr, Some(A::CgroupInet6Bind), 0, None),
    form("cgroup/connect4", P::CgroupSockAddr, Some(A::CgroupInet4Connect), 0, None),
    form("cgroup/connect6", P::CgroupSockAddr, Some(A::CgroupInet6Connect), 0, None),
    form("cgroup/connect_unix", P::CgroupSockAddr, Some(A::CgroupUnixConnect), 0, None),
    form("cgroup/sendmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Sendmsg), 0, None),
    form("cgroup/sendmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Sendmsg), 0, None),
    form("cgroup/sendmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixSendmsg), 0, None),
    form("cgroup/recvmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Recvmsg), 0, None),
    form("cgroup/recvmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Recvmsg), 0, None),
    form("cgroup/recvmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixRecvmsg), 0, None),
    form("cgroup/getpeername4", P::CgroupSockAddr, Some(A::CgroupInet4Getpeername), 0, None),
    form("cgroup/getpeername6", P::CgroupSockAddr, Some(A::CgroupInet6Getpeername), 0, None),
    form("cgroup/getpeername_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetpeername), 0, None),
    form("cgroup/getsockname4", P::CgroupSockAddr, Some(A::CgroupInet4Getsockname), 0, None),
    form("cgroup/getsockname6", P::CgroupSockAddr, Some(A::CgroupInet6Getsockname), 0, None),
    form("cgroup/getsockname_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetsockname), 0, None),
    form("cgroup/sysctl", P::CgroupSysctl, Some(A::CgroupSysctl), 0, None),
    form("cgroup/getsockopt", P::CgroupSockopt, Some(A::CgroupGetsockopt), 0, None),
    form("cgroup/setsockopt", P::CgroupSockopt, Some(A::CgroupSetsockopt), 0, None),
    form("cgroup/dev", P::CgroupDevice, Some(A::CgroupDevice), OPTIONAL, None),
    form("struct_ops+", P::StructOps, None, 0, None),
    form("struct_ops.s+", P::StructOps, None, SLEEPABLE, None),
    form("sk_lookup", P::SkLookup, Some(A::SkLookup), 0, None),
    form("netfilter", P::Netfilter, Some(A::Netfilter), 0, None),
];

#[cfg(test)]
mod tests;
