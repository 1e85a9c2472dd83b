//! Where a helper may be called, finer than by kind of program: places of attachment, hooks, older kernels, rights.
//!
//! Source: observed on Linux 6.18.15 and 6.18.44 (a call of each helper loaded at each place, with each set of
//! rights), and on 5.10.262, 6.1.192, 6.12.117 and 7.3.4 for what is older or newer; the release between two of these
//! is that of the change in mainline.
//!
//! Invariant: [`Helper::programs`] is the outer bound; every row here only takes away.

use super::{Helper, ProgramSet};
use crate::lsm;
use crate::profile::Version;
use crate::program::AttachType::{
    self, CgroupInet4Bind, CgroupInet4Connect, CgroupInet4Getpeername, CgroupInet4Getsockname,
    CgroupInet6Bind, CgroupInet6Connect, CgroupInet6Getpeername, CgroupInet6Getsockname,
    CgroupInetSockCreate, CgroupSetsockopt, CgroupUdp4Recvmsg, CgroupUdp4Sendmsg,
    CgroupUdp6Recvmsg, CgroupUdp6Sendmsg, CgroupUnixConnect, CgroupUnixGetpeername,
    CgroupUnixGetsockname, CgroupUnixSendmsg, LsmCgroup, LsmMac, ModifyReturn, TraceFentry,
    TraceFentryMulti, TraceFexit, TraceFexitMulti, TraceFsession, TraceFsessionMulti, TraceIter,
    TraceKprobeMulti, TraceKprobeSession, TraceRawTp, TraceUprobeMulti, TraceUprobeSession,
};
use crate::program::ProgramType::{self, *};

/// Where a program goes, as far as its helpers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The kernel.
    pub version: Version,
    /// The kind of program.
    pub program: ProgramType,
    /// The place of attachment.
    pub attach: Option<AttachType>,
    /// The function, tracepoint, hook, kind of iterator or struct_ops member that it is for, without prefix.
    pub target: Option<&'a str>,
    /// Whether the program may sleep.
    pub sleepable: bool,
    /// The structure of functions that a struct_ops program is a member of.
    pub ops: Option<&'a str>,
}

/// Whether a helper may be called somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Yes,
    /// Programs of this type cannot use it.
    No,
    /// Programs of this type can, but not for this function or hook ("helper call is not allowed in probe").
    NotForTarget,
}

/// A right that a helper asks for beyond its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// None.
    None,
    /// CAP_BPF.
    Bpf,
    /// CAP_PERFMON.
    Perfmon,
}

/// These helpers in these programs, only at these places.
struct Only {
    helpers: &'static [u32],
    program: ProgramType,
    at: &'static [AttachType],
}

/// These helpers in these programs, only since (and if given, only until before) a release.
struct Since {
    helpers: &'static [u32],
    programs: ProgramSet,
    at: &'static [AttachType],
    since: Version,
    until: Option<Version>,
}

const fn v(major: u16, minor: u16) -> Version {
    Version::new(major, minor)
}

const TRAMPOLINES: &[AttachType] = &[
    TraceFentry,
    TraceFexit,
    ModifyReturn,
    TraceFsession,
    TraceFentryMulti,
    TraceFexitMulti,
    TraceFsessionMulti,
];

#[rustfmt::skip]
static ONLY: &[Only] = &[
    Only { helpers: &[64], program: CgroupSockAddr, at: &[CgroupInet4Connect, CgroupInet6Connect] },
    Only { helpers: &[186, 187], program: CgroupSockAddr, at: &[
        CgroupInet4Bind, CgroupInet6Bind, CgroupInet4Connect, CgroupInet6Connect, CgroupUdp4Sendmsg,
        CgroupUdp6Sendmsg, CgroupUnixConnect, CgroupUnixSendmsg,
    ] },
    Only { helpers: &[49, 57], program: CgroupSockopt, at: &[CgroupSetsockopt] },
    Only { helpers: &[49, 57], program: CgroupSock, at: &[CgroupInetSockCreate] },
    Only { helpers: &[49, 57, 126, 127, 150], program: Tracing, at: &[TraceIter] },
    Only { helpers: &[49, 57, 81, 186, 187], program: Lsm, at: &[LsmCgroup] },
    Only { helpers: &[174, 183, 184, 185], program: Lsm, at: &[LsmMac] },
    Only { helpers: &[184], program: Tracing, at: TRAMPOLINES },
];

/// The programs whose helpers come from the kernel's network side.
const NETWORK: ProgramSet = ProgramSet::of(&[
    SocketFilter,
    SchedCls,
    SchedAct,
    Xdp,
    CgroupSkb,
    LwtIn,
    LwtOut,
    LwtXmit,
    LwtSeg6local,
    SockOps,
    SkSkb,
    SkReuseport,
    FlowDissector,
    SkLookup,
    StructOps,
    Netfilter,
]);
const CGROUP: ProgramSet = ProgramSet::of(&[
    CgroupSock,
    CgroupSockAddr,
    CgroupDevice,
    CgroupSysctl,
    CgroupSockopt,
]);
const PROBES: ProgramSet = ProgramSet::of(&[
    Kprobe,
    Tracepoint,
    PerfEvent,
    RawTracepoint,
    RawTracepointWritable,
    Tracing,
]);
const MSG: ProgramSet = ProgramSet::of(&[SkMsg]);
const ANY_PLACE: &[AttachType] = &[];

const fn since(helpers: &'static [u32], programs: ProgramSet, major: u16, minor: u16) -> Since {
    Since {
        helpers,
        programs,
        at: ANY_PLACE,
        since: v(major, minor),
        until: None,
    }
}

#[rustfmt::skip]
static SINCE: &[Since] = &[
    // strtol, strtoul: before, of sysctl programs alone.
    since(&[105, 106], ProgramSet::all().without(CgroupSysctl), 5, 18),
    since(&[14, 16, 17], ProgramSet::of(&[CgroupDevice, CgroupSysctl, CgroupSockopt]), 6, 1),
    since(&[123], ProgramSet::of(&[CgroupDevice, CgroupSysctl, CgroupSockopt]), 6, 1),
    since(&[123], PROBES, 5, 14),
    Since { helpers: &[49, 57], programs: ProgramSet::of(&[CgroupSockAddr]), at: &[
        CgroupInet4Bind, CgroupInet6Bind, CgroupUdp4Sendmsg, CgroupUdp6Sendmsg, CgroupUdp4Recvmsg,
        CgroupUdp6Recvmsg, CgroupInet4Getpeername, CgroupInet6Getpeername, CgroupInet4Getsockname,
        CgroupInet6Getsockname,
    ], since: v(5, 12), until: None },
    since(&[122], ProgramSet::of(&[CgroupSockopt, SockOps, SkMsg]), 5, 15),
    since(&[49, 57], ProgramSet::of(&[CgroupSockopt, Tracing]), 5, 15),
    // Spin locks, coarse time, timers and the rest of the common table.
    since(&[93, 94], PROBES, 5, 13),
    since(&[148], PROBES.without(Tracing), 6, 0),
    since(&[46], ProgramSet::of(&[SkReuseport]), 5, 14),
    since(&[46], ProgramSet::of(&[Tracing]), 5, 12),
    since(&[107, 108], ProgramSet::of(&[Tracing]), 5, 11),
    // Open to every kind of program at once.
    since(&[14, 80, 123], NETWORK, 6, 10),
    since(&[120], ProgramSet::all().without(Kprobe).without(Tracepoint).without(PerfEvent)
        .without(RawTracepoint).without(RawTracepointWritable).without(Tracing).without(Lsm).without(Syscall), 6, 10),
    since(&[37], CGROUP, 6, 10),
    since(&[174], ProgramSet::of(&[RawTracepoint, RawTracepointWritable]), 6, 10),
    Since { helpers: &[174], programs: ProgramSet::of(&[Tracing]), at: &[TraceRawTp], since: v(6, 10), until: None },
    since(&[22, 55, 109, 117, 141, 148, 156, 157, 176, 180, 191], NETWORK.and(CGROUP).and(MSG), 6, 16),
    since(&[15], NETWORK, 6, 16),
    since(&[16, 37], NETWORK.and(MSG), 6, 16),
    since(&[17], NETWORK.and(PROBES).and(ProgramSet::of(&[Lsm, Syscall]))
        .without(SchedCls).without(SchedAct).without(LwtIn).without(LwtOut).without(LwtXmit).without(LwtSeg6local), 6, 16),
    since(&[122], ProgramSet::of(&[SocketFilter, SchedCls, SchedAct, CgroupSkb]), 6, 15),
    since(&[49, 57], ProgramSet::of(&[CgroupSock]), 7, 0),
    Since { helpers: &[183, 185], programs: ProgramSet::of(&[Tracing]), at: &[TraceRawTp], since: v(7, 0), until: None },
    Since { helpers: &[49, 57], programs: ProgramSet::of(&[CgroupSockAddr]),
        at: &[CgroupUnixGetpeername, CgroupUnixGetsockname], since: v(6, 13), until: Some(v(7, 0)) },
    Since { helpers: &[39], programs: ProgramSet::of(&[LwtSeg6local]), at: ANY_PLACE, since: v(6, 13), until: Some(v(7, 0)) },
];

/// Hooks of sockets for whose control group programs setsockopt and getsockopt are there.
const SOCKET_HOOKS: &[&str] = &[
    "inet_conn_established",
    "inet_csk_clone",
    "sock_graft",
    "socket_post_create",
    "socket_socketpair",
];

/// Helpers that ask for CAP_PERFMON.
#[rustfmt::skip]
static PERFMON: &[u32] = &[
    6, 16, 22, 35, 55, 109, 112, 113, 114, 115, 117, 136, 137, 138, 139, 140, 141, 148, 149, 158, 165, 166, 175, 176,
    177, 178, 180, 191, 196,
];

/// Of these the `bpf_skc_to_` family, which syscall programs have without that right.
const SOCKET_CASTS: &[u32] = &[136, 137, 138, 139, 140, 178, 196];

/// Helpers that ask for CAP_BPF, of those that programs without any right could call otherwise.
#[rustfmt::skip]
static BPF: &[u32] = &[
    17, 37, 80, 93, 94, 118, 123, 153, 154, 156, 157, 164, 169, 170, 171, 172, 181, 194, 197, 198, 199, 200, 201, 202,
    203, 209, 210, 211,
];

impl Helper {
    /// Whether a privileged program may call it there.
    pub fn permission(&self, site: &Site<'_>) -> Permission {
        if !self.programs.contains(site.program) || !self.open_at(site) {
            return Permission::No;
        }
        self.for_target(site)
    }

    fn open_at(&self, site: &Site<'_>) -> bool {
        let only = ONLY
            .iter()
            .filter(|row| row.program == site.program && row.helpers.contains(&self.id))
            .all(|row| site.attach.is_some_and(|attach| row.at.contains(&attach)));
        let dated = SINCE
            .iter()
            .filter(|row| row.programs.contains(site.program) && row.helpers.contains(&self.id))
            .filter(|row| {
                row.at.is_empty() || site.attach.is_some_and(|attach| row.at.contains(&attach))
            })
            .all(|row| {
                site.version >= row.since && row.until.is_none_or(|until| site.version < until)
            });
        only && dated && self.open_for(site)
    }

    /// What depends on the hook, kind of iterator or structure of functions.
    fn open_for(&self, site: &Site<'_>) -> bool {
        let target = site.target.unwrap_or_default();
        match (self.id, site.program) {
            (49 | 57, Lsm) => SOCKET_HOOKS.contains(&target),
            (49 | 57, Tracing) => matches!(target, "tcp" | "unix"),
            (49 | 57, StructOps) => site.ops == Some("tcp_congestion_ops") && target != "release",
            // bpf_copy_from_user was shut for programs that do not sleep before it could be refused for that alone.
            (148, Tracing) => site.sleepable || site.version >= v(6, 0),
            (107 | 108 | 116 | 160, StructOps) => site.ops == Some("tcp_congestion_ops"),
            (174, Tracing) => site.attach != Some(TraceIter),
            (183 | 185, Tracing) => match site.attach {
                Some(TraceRawTp) => true,
                Some(attach) => TRAMPOLINES.contains(&attach),
                None => false,
            },
            _ => true,
        }
    }

    fn for_target(&self, site: &Site<'_>) -> Permission {
        let target = site.target.unwrap_or_default();
        let fits = match (self.id, site.program) {
            // bpf_d_path
            (147, Tracing) => {
                (site.attach == Some(TraceIter) && site.version >= v(5, 12))
                    || PATH_FUNCTIONS.binary_search(&target).is_ok()
            }
            (147, Lsm) => lsm::hook(target).is_some_and(|hook| hook.sleepable(site.version)),
            (147, Syscall) => false,
            // bpf_ima_inode_hash, bpf_ima_file_hash
            (161 | 193, Lsm) => lsm::hook(target).is_some_and(|hook| hook.sleepable(site.version)),
            // bpf_sk_storage_get, bpf_sk_storage_delete
            (107 | 108, Syscall) => false,
            (107 | 108, Tracing) => match site.attach {
                Some(TraceRawTp | TraceIter) => true,
                // Not of another program, which is no target by name.
                Some(TraceFentry | TraceFexit | TraceFsession) => {
                    !target.is_empty() && !target.starts_with("bpf_sk_storage")
                }
                _ => false,
            },
            _ => true,
        };
        if fits {
            Permission::Yes
        } else {
            Permission::NotForTarget
        }
    }

    /// The right that the helper asks for in programs of that kind, beside what loading one asks for.
    pub fn right(&self, program: ProgramType) -> Right {
        if program == Syscall && SOCKET_CASTS.contains(&self.id) {
            Right::None
        } else if PERFMON.binary_search(&self.id).is_ok() {
            Right::Perfmon
        } else if BPF.binary_search(&self.id).is_ok() {
            Right::Bpf
        } else {
            Right::None
        }
    }

    /// Whether the program's licence must be compatible with the GPL for a call at that place.
    pub fn gpl_only_at(&self, program: ProgramType, attach: Option<AttachType>) -> bool {
        let free = match self.id {
            // bpf_get_stackid
            27 => program == PerfEvent,
            // bpf_get_func_ip
            173 => {
                program == Kprobe
                    && matches!(
                        attach,
                        Some(
                            TraceKprobeMulti
                                | TraceUprobeMulti
                                | TraceKprobeSession
                                | TraceUprobeSession
                        )
                    )
            }
            _ => false,
        };
        self.gpl_only() && !free
    }
}

/// Functions for whose entry and exit bpf_d_path is allowed.
const PATH_FUNCTIONS: &[&str] = &[
    "dentry_open",
    "filp_close",
    "security_file_open",
    "security_file_permission",
    "security_inode_getattr",
    "security_path_truncate",
    "vfs_fallocate",
    "vfs_getattr",
    "vfs_truncate",
];
