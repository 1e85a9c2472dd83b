//! The filter that lets uninteresting system calls pass: classic BPF for seccomp, built from a [`CallSet`].
//!
//! Invariants: a call of another ABI always stops (it would be misread otherwise); whatever the filter allows it allows
//! by number alone wherever possible, so that the kernel answers from its allow bitmap without running the filter.

use super::arch::{AUDIT_ARCH, X32_BIT, call};
use super::event::CallSet;
use std::io;

/// Data of a `SECCOMP_RET_TRACE` for native calls and for those of another ABI.
pub const DATA_NATIVE: u16 = 0;
pub const DATA_FOREIGN: u16 = 1;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JGE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JSET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RET: u16 = 0x06; // BPF_RET | BPF_K

const RET_TRACE: u32 = 0x7ff0_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

// Offsets in struct seccomp_data.
const AT_NR: u32 = 0;
const AT_ARCH: u32 = 4;
#[cfg(target_endian = "little")]
const AT_ARG0_LOW: u32 = 16;
#[cfg(target_endian = "big")]
const AT_ARG0_LOW: u32 = 20;

/// One classic BPF instruction, `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classic {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> Classic {
    Classic { code, jt, jf, k }
}

const TRACE: Classic = op(RET, RET_TRACE | DATA_NATIVE as u32, 0, 0);
const TRACE_FOREIGN: Classic = op(RET, RET_TRACE | DATA_FOREIGN as u32, 0, 0);
const ALLOW: Classic = op(RET, RET_ALLOW, 0, 0);

/// The filter that stops at the calls of `wanted`, at those the supervisor itself must see, and at foreign ABIs.
pub fn filter(wanted: &CallSet) -> Vec<Classic> {
    let mut stops = wanted.clone();
    for nr in [call::EXECVE, call::EXECVEAT, call::CLONE3]
        .into_iter()
        .chain(call::CREDENTIALS)
    {
        stops.insert(nr as u32);
    }
    let mut out = vec![
        op(LOAD, AT_ARCH, 0, 0),
        op(JEQ, AUDIT_ARCH, 1, 0),
        TRACE_FOREIGN,
        op(LOAD, AT_NR, 0, 0),
    ];
    if let Some(bit) = X32_BIT {
        out.extend([op(JGE, bit, 0, 1), TRACE_FOREIGN]);
    }
    // Two calls concern the supervisor with one argument only.
    if !stops.contains(call::PRCTL) {
        out.extend([
            op(JEQ, call::PRCTL as u32, 0, 4),
            op(LOAD, AT_ARG0_LOW, 0, 0),
        ]);
        out.extend([op(JEQ, call::PR_SET_NAME as u32, 0, 1), TRACE, ALLOW]);
    }
    if !stops.contains(call::CLONE) {
        out.extend([
            op(JEQ, call::CLONE as u32, 0, 4),
            op(LOAD, AT_ARG0_LOW, 0, 0),
        ]);
        out.extend([op(JSET, call::CLONE_UNTRACED as u32, 0, 1), TRACE, ALLOW]);
    }
    // Where the answer changes, in ascending order; below the first number the answer is `stops(0)`.
    let mut edges = Vec::new();
    let mut last = stops.contains(0);
    let first = last;
    for nr in 1..=CallSet::LIMIT {
        let now = if nr == CallSet::LIMIT {
            stops.is_all()
        } else {
            stops.contains(nr.into())
        };
        if now != last {
            edges.push(nr);
            last = now;
        }
    }
    decide(&edges, first, &mut out);
    out
}

/// A binary decision over `edges`; `first` is the answer below the first of them.
fn decide(edges: &[u32], first: bool, out: &mut Vec<Classic>) {
    if edges.is_empty() {
        out.push(if first { TRACE } else { ALLOW });
        return;
    }
    let middle = edges.len() / 2;
    let mut below = Vec::new();
    decide(&edges[..middle], first, &mut below);
    match u8::try_from(below.len()) {
        Ok(skip) => out.push(op(JGE, edges[middle], skip, 0)),
        Err(_) => out.extend([
            op(JGE, edges[middle], 0, 1),
            op(JUMP, below.len() as u32, 0, 0),
        ]),
    }
    out.append(&mut below);
    // The answer flips at each edge.
    decide(&edges[middle + 1..], first ^ middle.is_multiple_of(2), out);
}

/// Installs the filter for the calling thread and all it will fork. Async-signal-safe: to be called between fork and exec.
/// Sets `no_new_privs` only if the kernel asks for it; answers whether it did.
pub fn install(filter: &[Classic]) -> io::Result<bool> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr() as *mut libc::sock_filter,
    };
    let set = |flags: libc::c_ulong| {
        // SAFETY: `program` names `filter.len()` instructions of the kernel's layout (`Classic` is repr(C) like
        // struct sock_filter); the kernel copies them and keeps no pointer.
        let r = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &program,
            )
        };
        if r == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SPEC_ALLOW: the filter guards nothing, so it must not slow the child by speculation barriers (kernels before 5.16).
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    match set(flags) {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            // SAFETY: prctl with integer arguments only.
            if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
            set(flags).map(|()| true)
        }
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => set(0).map(|()| false),
        other => other.map(|()| false),
    }
}

#[cfg(test)]
mod tests;
