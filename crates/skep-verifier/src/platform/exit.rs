//! What a program may leave in r0 when it ends.

use skep_spec::profile::Profile;
use skep_spec::program::{AttachType as A, ProgramType as P};

use super::Place;

/// What r0 must be at the end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitRange {
    /// It is not looked at.
    Ignored,
    /// A number between these, both included.
    Within(i32, i32),
}

/// What the exit code of a program must be: observed on Linux 5.10.262, 6.1.192, 6.12.117, 6.18.15 and 7.3.4. For LSM hooks that return a value, struct_ops members and extensions the
/// type of the function that they stand for matters too; see `skep_spec::lsm`.
pub fn exit_range(profile: &Profile, place: &Place<'_>) -> ExitRange {
    let boolean = ExitRange::Within(0, 1);
    match (place.program, place.attach) {
        (
            P::CgroupSockAddr,
            Some(
                A::CgroupUdp4Recvmsg
                | A::CgroupUdp6Recvmsg
                | A::CgroupUnixRecvmsg
                | A::CgroupInet4Getpeername
                | A::CgroupInet6Getpeername
                | A::CgroupUnixGetpeername
                | A::CgroupInet4Getsockname
                | A::CgroupInet6Getsockname
                | A::CgroupUnixGetsockname,
            ),
        ) => ExitRange::Within(1, 1),
        (P::CgroupSockAddr, Some(A::CgroupInet4Bind | A::CgroupInet6Bind))
            if profile.at_least(5, 12) =>
        {
            ExitRange::Within(0, 3)
        }
        (P::CgroupSkb, Some(A::CgroupInetEgress)) => ExitRange::Within(0, 3),
        (
            P::CgroupSockAddr
            | P::CgroupSkb
            | P::CgroupSock
            | P::SockOps
            | P::CgroupDevice
            | P::CgroupSysctl
            | P::CgroupSockopt
            | P::SkLookup
            | P::Netfilter,
            _,
        ) => boolean,
        (P::Tracing, Some(A::TraceFentry | A::TraceFexit | A::TraceFsession)) => {
            ExitRange::Within(0, 0)
        }
        (P::Tracing, Some(A::TraceIter)) => boolean,
        (P::Kprobe, Some(A::TraceKprobeSession)) if profile.at_least(6, 10) => boolean,
        (P::Kprobe, Some(A::TraceUprobeSession)) if profile.at_least(6, 13) => boolean,
        _ => ExitRange::Ignored,
    }
}
