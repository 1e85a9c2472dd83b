//! What differs between machines: registers, the audit architecture and the numbers of the calls the supervisor watches.
//!
//! Invariants: [`Registers`] begins with the bytes of the kernel's `struct pt_regs` of the same machine, so a modelled
//! `pt_regs` is a prefix copy; nothing outside of this file names a register.

/// How a task asked for its system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// The machine's own 64-bit calls.
    Native,
    /// 32-bit calls (`int 0x80`, compat `sysenter`; AArch32): other numbers, 32-bit arguments.
    Compat,
    /// x32: 64-bit mode, 32-bit pointers, bit 30 set in the number.
    X32,
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::Abi;

    /// `struct user_regs_struct`; the first 21 words are `struct pt_regs`.
    pub type Registers = libc::user_regs_struct;
    /// `AUDIT_ARCH_X86_64` of linux/audit.h.
    pub const AUDIT_ARCH: u32 = 0xc000_003e;
    /// First number of the x32 range, `__X32_SYSCALL_BIT`.
    pub const X32_BIT: Option<u32> = Some(0x4000_0000);

    pub fn number(r: &Registers) -> i64 {
        // The number is an int to the kernel; orig_rax of a compat call is zero-extended.
        r.orig_rax as i32 as i64
    }

    pub fn arguments(r: &Registers, abi: Abi) -> [u64; 6] {
        match abi {
            Abi::Compat => [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp].map(|x| x & 0xffff_ffff),
            _ => [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
        }
    }

    pub fn set_argument(r: &mut Registers, index: usize, value: u64) {
        let slot = match index {
            0 => &mut r.rdi,
            1 => &mut r.rsi,
            2 => &mut r.rdx,
            3 => &mut r.r10,
            4 => &mut r.r8,
            _ => &mut r.r9,
        };
        *slot = value;
    }

    /// Makes the call that is about to start return `result` instead of running.
    pub fn refuse_call(r: &mut Registers, result: i64) {
        r.orig_rax = u64::MAX;
        r.rax = result as u64;
    }

    pub fn ip(r: &Registers) -> u64 {
        r.rip
    }

    pub fn frame_pointer(r: &Registers) -> u64 {
        r.rbp
    }

    /// Whether the task runs 32-bit code (`__USER32_CS`).
    pub fn in_compat_mode(r: &Registers) -> bool {
        r.cs == 0x23
    }

    /// Bytes of `pt_regs` at the start of [`Registers`].
    pub const PT_REGS_SIZE: usize = 21 * 8;
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Abi;

    /// `struct user_pt_regs`: 31 registers, sp, pc, pstate.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Registers {
        pub regs: [u64; 31],
        pub sp: u64,
        pub pc: u64,
        pub pstate: u64,
    }
    /// `AUDIT_ARCH_AARCH64` of linux/audit.h.
    pub const AUDIT_ARCH: u32 = 0xc000_00b7;
    pub const X32_BIT: Option<u32> = None;

    pub fn number(r: &Registers) -> i64 {
        r.regs[8] as i32 as i64
    }

    pub fn arguments(r: &Registers, abi: Abi) -> [u64; 6] {
        let a = [
            r.regs[0], r.regs[1], r.regs[2], r.regs[3], r.regs[4], r.regs[5],
        ];
        if abi == Abi::Compat {
            a.map(|x| x & 0xffff_ffff)
        } else {
            a
        }
    }

    pub fn result(r: &Registers) -> i64 {
        r.regs[0] as i64
    }

    pub fn set_argument(r: &mut Registers, index: usize, value: u64) {
        r.regs[index.min(5)] = value;
    }

    /// Makes the call that is about to start fail: an unknown number ends in `ENOSYS`.
    pub fn refuse_call(r: &mut Registers, result: i64) {
        r.regs[8] = u64::MAX;
        r.regs[0] = result as u64;
    }

    pub fn ip(r: &Registers) -> u64 {
        r.pc
    }

    pub fn frame_pointer(r: &Registers) -> u64 {
        r.regs[29]
    }

    /// Whether the task runs AArch32 code (`PSR_MODE32_BIT`).
    pub fn in_compat_mode(r: &Registers) -> bool {
        r.pstate & 0x10 != 0
    }

    pub const PT_REGS_SIZE: usize = 34 * 8;
}

pub use machine::*;

/// All zero.
pub fn empty_registers() -> Registers {
    // SAFETY: the register structures of both machines are plain integers; every bit pattern is valid.
    unsafe { std::mem::zeroed() }
}

/// The calls whose effects the supervisor must know of, whoever else is interested.
pub mod call {
    pub const CLONE: i64 = libc::SYS_clone;
    pub const CLONE3: i64 = libc::SYS_clone3;
    pub const EXECVE: i64 = libc::SYS_execve;
    pub const EXECVEAT: i64 = libc::SYS_execveat;
    pub const PRCTL: i64 = libc::SYS_prctl;
    /// Calls after which the credentials are read again.
    pub const CREDENTIALS: [i64; 8] = [
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
    ];
    pub const PR_SET_NAME: u64 = libc::PR_SET_NAME as u64;
    pub const CLONE_UNTRACED: u64 = libc::CLONE_UNTRACED as u64;
}
