//! The tables of helpers, contexts and exit codes against the kernel that runs here: one small program for each entry.
//!
//! Kinds of program that need the kernel's BTF to be loaded are left out; what a kernel is built without is named in
//! [`BUILT_WITHOUT`]. A kernel of a release that has no profile, or that refuses bpf(2), is skipped with a line.

use skep_linux::program::{Program, ProgramLoad};
use skep_linux::syscall::Kernel;
use skep_spec::insn::Insn;
use skep_spec::profile::Profile;
use skep_spec::program::AttachType as A;
use skep_spec::program::ProgramType as P;
use skep_verifier::platform::{CtxValue, ExitRange, Place, ctx_access, exit_range, helper_allowed};

/// Helpers that a kernel may lack by its configuration: `bpf_probe_write_user` (lockdown) and `bpf_override_return`.
const BUILT_WITHOUT: [u32; 2] = [36, 58];

#[rustfmt::skip]
const PLACES: &[(P, Option<A>)] = &[
    (P::SocketFilter, None), (P::Kprobe, None), (P::Kprobe, Some(A::TraceKprobeMulti)),
    (P::Kprobe, Some(A::TraceKprobeSession)), (P::SchedCls, None), (P::SchedCls, Some(A::TcxIngress)),
    (P::SchedAct, None), (P::Tracepoint, None), (P::Xdp, None), (P::Xdp, Some(A::Xdp)),
    (P::Xdp, Some(A::XdpDevmap)), (P::PerfEvent, None), (P::CgroupSkb, Some(A::CgroupInetIngress)),
    (P::CgroupSkb, Some(A::CgroupInetEgress)), (P::CgroupSock, Some(A::CgroupInetSockCreate)),
    (P::CgroupSock, Some(A::CgroupInetSockRelease)), (P::CgroupSock, Some(A::CgroupInet4PostBind)),
    (P::CgroupSock, Some(A::CgroupInet6PostBind)), (P::LwtIn, None), (P::LwtOut, None), (P::LwtXmit, None),
    (P::SockOps, Some(A::CgroupSockOps)), (P::SkSkb, Some(A::SkSkbStreamParser)),
    (P::SkSkb, Some(A::SkSkbVerdict)), (P::CgroupDevice, Some(A::CgroupDevice)),
    (P::SkMsg, Some(A::SkMsgVerdict)), (P::RawTracepoint, None), (P::RawTracepointWritable, None),
    (P::CgroupSockAddr, Some(A::CgroupInet4Bind)), (P::CgroupSockAddr, Some(A::CgroupInet6Connect)),
    (P::CgroupSockAddr, Some(A::CgroupUdp4Sendmsg)), (P::CgroupSockAddr, Some(A::CgroupUdp6Recvmsg)),
    (P::CgroupSockAddr, Some(A::CgroupInet4Getpeername)), (P::CgroupSockAddr, Some(A::CgroupUnixConnect)),
    (P::LwtSeg6local, None), (P::SkReuseport, Some(A::SkReuseportSelect)),
    (P::FlowDissector, Some(A::FlowDissector)), (P::CgroupSysctl, Some(A::CgroupSysctl)),
    (P::CgroupSockopt, Some(A::CgroupGetsockopt)), (P::CgroupSockopt, Some(A::CgroupSetsockopt)),
    (P::SkLookup, Some(A::SkLookup)), (P::Syscall, None), (P::Netfilter, Some(A::Netfilter)),
];

const EXIT: Insn = insn(0x95, 0, 0, 0, 0);

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

const fn sleeps(program: P) -> bool {
    matches!(program, P::Syscall)
}

/// Whether the kernel takes it, and what it says.
fn ask(program: P, attach: Option<A>, insns: &[Insn], level: u32) -> (bool, String) {
    let load = ProgramLoad {
        name: "platform",
        program_type: program.number(),
        expected_attach_type: attach.map_or(0, A::number),
        insns,
        license: "GPL",
        flags: if sleeps(program) {
            skep_spec::program::flags::SLEEPABLE
        } else {
            0
        },
        btf: None,
        attach_btf_id: 0,
    };
    let (program, log) = Program::load_with_log(&Kernel, &load, level);
    (program.is_ok(), log)
}

/// The profile of this kernel, and the places where it loads programs that return `1`.
fn here() -> Option<(Profile, Vec<Place<'static>>)> {
    if let Err(error) = skep_linux::probe::available(&Kernel) {
        eprintln!("skipped: this kernel refuses bpf(2): {error}");
        return None;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let Some(profile) = Profile::parse(release.trim()) else {
        eprintln!("skipped: no profile for Linux {}", release.trim());
        return None;
    };
    let places: Vec<Place<'static>> = PLACES
        .iter()
        .filter(|(program, attach)| {
            let code = [insn(0xb7, 0, 0, 0, 1), EXIT];
            ask(*program, *attach, &code, 1).0
        })
        .map(|&(program, attach)| Place {
            sleepable: sleeps(program),
            ..Place::of(program, attach)
        })
        .collect();
    assert!(places.len() > 20, "hardly anything can be loaded");
    Some((profile, places))
}

#[test]
fn helpers_are_where_the_kernel_has_them() {
    let Some((profile, places)) = here() else {
        return;
    };
    let mut wrong = Vec::new();
    for place in &places {
        for id in (1..=212).filter(|id| !BUILT_WITHOUT.contains(id)) {
            let code = [insn(0x85, 0, 0, 0, id as i32), EXIT];
            let (_, log) = ask(place.program, place.attach, &code, 1);
            let said = |words: &str| log.contains(words);
            let theirs = !(said("program of this type cannot use")
                || said("unknown func ")
                || said("invalid func ")
                || said("not allowed in probe")
                || said("might sleep"));
            let ours = helper_allowed(&profile, place, id);
            let line = ours.as_ref().err().map(|fault| fault.lines[0].as_str());
            if ours.is_ok() != theirs || line.is_some_and(|line| !log.contains(line)) {
                wrong.push(format!(
                    "{:?} {:?} {id}: {line:?}, kernel {theirs}",
                    place.program, place.attach
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
}

/// The kernel's word for what a load gives, as its log has it.
fn word(value: CtxValue) -> String {
    match value {
        CtxValue::Scalar => "scalar(".into(),
        CtxValue::Packet => "pkt(".into(),
        CtxValue::PacketEnd => "pkt_end(".into(),
        CtxValue::PacketMeta => "pkt_meta(".into(),
        CtxValue::Socket { or_null: false } => "sock(".into(),
        CtxValue::Socket { or_null: true } => "sock_or_null(".into(),
        CtxValue::SockCommon { or_null: false } => "sock_common(".into(),
        CtxValue::SockCommon { or_null: true } => "sock_common_or_null(".into(),
        CtxValue::FlowKeys => "flow_keys(".into(),
        CtxValue::TpBuffer => "tp_buffer(".into(),
        CtxValue::Memory { .. } => "mem(".into(),
        CtxValue::Btf { of, .. } => format!("trusted_ptr_{of}("),
    }
}

#[test]
fn context_fields_are_as_the_kernel_has_them() {
    let Some((profile, places)) = here() else {
        return;
    };
    let mut wrong = Vec::new();
    for place in &places {
        for (size, width) in [(1_i16, 0x10_u8), (2, 0x08), (4, 0), (8, 0x18)] {
            for off in (0..236_i16).filter(|off| off % size == 0 || off % 7 == 0) {
                let load = [
                    insn(0x61 | width, 2, 1, off, 0),
                    insn(0xb7, 0, 0, 0, 1),
                    EXIT,
                ];
                let store = [
                    insn(0xb7, 2, 0, 0, 0),
                    insn(0x63 | width, 1, 2, off, 0),
                    insn(0xb7, 0, 0, 0, 1),
                    EXIT,
                ];
                let ours = ctx_access(&profile, place, off.into(), size as u32, false);
                let (loads, log) = ask(place.program, place.attach, &load, 2);
                let typed = ours.is_none_or(|value| {
                    log.contains(&format!("R2={}", word(value)))
                        || log.contains(&format!("R2_w={}", word(value)))
                });
                if ours.is_some() != loads || !typed {
                    wrong.push(format!(
                        "{:?} {:?} load {size} at {off}: {ours:?}",
                        place.program, place.attach
                    ));
                }
                let ours = ctx_access(&profile, place, off.into(), size as u32, true);
                let (stores, _) = ask(place.program, place.attach, &store, 1);
                if ours.is_some() != stores {
                    wrong.push(format!(
                        "{:?} {:?} store {size} at {off}: {ours:?}",
                        place.program, place.attach
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
}

#[test]
fn exit_codes_are_bounded_as_the_kernel_bounds_them() {
    let Some((profile, places)) = here() else {
        return;
    };
    for place in &places {
        for code in [-4096, -1, 0, 1, 2, 3, 4] {
            let insns = [insn(0xb7, 0, 0, 0, code), EXIT];
            let (theirs, log) = ask(place.program, place.attach, &insns, 1);
            let ours = match exit_range(&profile, place) {
                ExitRange::Ignored => true,
                ExitRange::Within(min, max) => (min..=max).contains(&code),
            };
            assert_eq!(
                ours, theirs,
                "{:?} {:?} returns {code}: {log}",
                place.program, place.attach
            );
        }
    }
}
