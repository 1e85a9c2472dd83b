//! What a place allows, for a few places; the kernel that runs is asked elsewhere.

use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType};

use super::*;

#[test]
fn helpers_follow_the_kind_of_program() {
    let xdp = Place::of(ProgramType::Xdp, Some(AttachType::Xdp));
    let profile = Profile::V6_18;
    assert!(helper_allowed(&profile, &xdp, 44).is_ok());
    let set = HelperSet::EMPTY.with(44);
    assert!(set.contains(44) && !set.contains(45));
    let fault = helper_allowed(&profile, &xdp, 4).unwrap_err();
    assert_eq!(
        fault.lines,
        ["program of this type cannot use helper bpf_probe_read#4"]
    );
    let fault = helper_allowed(&Profile::V6_1, &xdp, 4).unwrap_err();
    assert_eq!(fault.lines, ["unknown func bpf_probe_read#4"]);
    let fault = helper_allowed(&profile, &xdp, 195_896_080).unwrap_err();
    assert_eq!(fault.lines, ["invalid func unknown#195896080"]);
}

#[test]
fn exit_codes_follow_the_place() {
    let of = |program, attach| exit_range(&Profile::V6_18, &Place::of(program, attach));
    assert_eq!(
        of(ProgramType::CgroupSkb, Some(AttachType::CgroupInetEgress)),
        ExitRange::Within(0, 3)
    );
    assert_eq!(
        of(ProgramType::CgroupSkb, Some(AttachType::CgroupInetIngress)),
        ExitRange::Within(0, 1)
    );
    assert_eq!(
        of(ProgramType::Xdp, Some(AttachType::Xdp)),
        ExitRange::Ignored
    );
}

#[test]
fn context_fields_have_types() {
    let of = |program, off, size| {
        ctx_access(&Profile::V6_18, &Place::of(program, None), off, size, false)
    };
    assert_eq!(of(ProgramType::Xdp, 0, 4), Some(CtxValue::Packet));
    assert_eq!(of(ProgramType::Xdp, 4, 4), Some(CtxValue::PacketEnd));
    assert_eq!(of(ProgramType::Xdp, 1, 4), None);
    assert_eq!(
        of(ProgramType::SchedCls, 168, 8),
        Some(CtxValue::SockCommon { or_null: true })
    );
    assert_eq!(
        of(ProgramType::FlowDissector, 144, 8),
        Some(CtxValue::FlowKeys)
    );
}

#[test]
fn context_fields_come_with_releases() {
    let hardware_time = |profile: &Profile| {
        ctx_access(
            profile,
            &Place::of(ProgramType::SockOps, None),
            216,
            8,
            false,
        )
    };
    assert_eq!(hardware_time(&Profile::V6_1), None);
    assert_eq!(hardware_time(&Profile::V6_6), Some(CtxValue::Scalar));
    let registers = Place::of(ProgramType::Kprobe, None);
    assert_eq!(ctx_access(&Profile::V6_18, &registers, 0, 8, true), None);
    assert_eq!(
        ctx_access(&Profile::V7_3, &registers, 0, 8, true),
        Some(CtxValue::Scalar)
    );
}

#[test]
fn kinds_ask_for_privileges() {
    use crate::input::Caps;
    let with = |program, caps| {
        Place {
            caps,
            ..Place::of(program, None)
        }
        .may_load()
    };
    let bpf = Caps {
        bpf: true,
        ..Caps::NONE
    };
    let perfmon = Caps {
        perfmon: true,
        ..bpf
    };
    assert!(with(ProgramType::SocketFilter, Caps::NONE));
    assert!(!with(ProgramType::SkLookup, Caps::NONE) && with(ProgramType::SkLookup, bpf));
    assert!(!with(ProgramType::Kprobe, bpf) && with(ProgramType::Kprobe, perfmon));
    assert!(!with(ProgramType::Xdp, perfmon));
}
