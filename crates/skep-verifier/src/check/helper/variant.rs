//! What a helper takes where one number stands for several functions: by kind of program, and which memory it fills.
//!
//! Invariant: the table of `skep-spec` has the commonest form; only differences stand here.

use skep_spec::helper::{ArgKind, ArgType, Helper};
use skep_spec::program::ProgramType;

use super::kinds::FULL_SOCKET;
use crate::platform::Place;

const GET_SOCKET_COOKIE: u32 = 46;
const SETSOCKOPT: u32 = 49;
const GETSOCKOPT: u32 = 57;
const FIB_LOOKUP: u32 = 69;
const SYSCTL_GET_NAME: u32 = 101;
const SK_STORAGE_GET: u32 = 107;
const SK_STORAGE_DELETE: u32 = 108;
const SK_ASSIGN: u32 = 124;
const D_PATH: u32 = 147;
const SNPRINTF_BTF: u32 = 149;
const SNPRINTF: u32 = 165;

const fn arg(kind: ArgKind, modifiers: u8, of: &'static str) -> ArgType {
    ArgType {
        kind,
        modifiers,
        size: 0,
        of,
    }
}

/// The argument of that register (from 0) in a program there.
pub fn argument(helper: &Helper, at: usize, place: &Place<'_>) -> ArgType {
    use ProgramType as P;
    let given = helper.args[at];
    match (helper.id, at) {
        (GET_SOCKET_COOKIE, 0) => match place.program {
            P::Tracing | P::Lsm | P::SkReuseport | P::StructOps => {
                arg(ArgKind::BtfSock, ArgType::OR_NULL, "")
            }
            _ => given,
        },
        (SETSOCKOPT | GETSOCKOPT, 0) => match place.program {
            P::CgroupSockopt | P::Lsm | P::Tracing | P::StructOps => arg(ArgKind::BtfSock, 0, ""),
            _ => given,
        },
        (SK_STORAGE_GET | SK_STORAGE_DELETE, 1) => match place.program {
            P::Tracing => arg(ArgKind::Btf, ArgType::OR_NULL, "sock_common"),
            P::CgroupSock => arg(ArgKind::Ctx, 0, ""),
            _ => given,
        },
        (SK_ASSIGN, 1) if place.program == P::SkLookup => {
            arg(ArgKind::Sock, ArgType::OR_NULL, FULL_SOCKET)
        }
        (FIB_LOOKUP | SYSCTL_GET_NAME | D_PATH, 1) | (SNPRINTF_BTF | SNPRINTF, 0) => ArgType {
            modifiers: given.modifiers | ArgType::WRITTEN,
            ..given
        },
        _ if given.kind == ArgKind::Mem && given.is(ArgType::UNINIT) => ArgType {
            modifiers: given.modifiers | ArgType::WRITTEN,
            ..given
        },
        _ => given,
    }
}
