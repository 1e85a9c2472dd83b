//! Memory accesses: which kind of pointer goes where.

use skep_spec::insn::Insn;

use crate::fault::{Fault, Rule};
use crate::verifier::Verifier;

/// One access.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Bytes.
    pub size: u32,
    pub write: bool,
    /// The register that is loaded or stored; `None` for an immediate (a store of unknown or constant bytes).
    pub value: Option<u8>,
    pub sign_extend: bool,
    /// Alignment matters whatever the program's flags say (atomics).
    pub strict_once: bool,
}

impl Verifier<'_> {
    /// Checks the access of `*(regno + off)`, and for a load sets the loaded register.
    pub fn check_mem_access(&mut self, regno: u8, _off: i32, _access: Access) -> Rule {
        Err(Fault::new(
            22,
            "verifier-memory",
            format!("R{regno} memory access"),
        ))
    }

    /// `ldx`, `ldsx`.
    pub fn step_load(&mut self, insn: Insn) -> Rule {
        self.check_mem_access(
            insn.src,
            i32::from(insn.off),
            Access {
                size: insn.width() as u32,
                write: false,
                value: Some(insn.dst),
                sign_extend: false,
                strict_once: false,
            },
        )
    }

    /// `stx`.
    pub fn step_store(&mut self, insn: Insn) -> Rule {
        self.check_mem_access(
            insn.dst,
            i32::from(insn.off),
            Access {
                size: insn.width() as u32,
                write: true,
                value: Some(insn.src),
                sign_extend: false,
                strict_once: false,
            },
        )
    }

    /// `st`.
    pub fn step_store_imm(&mut self, insn: Insn) -> Rule {
        self.check_mem_access(
            insn.dst,
            i32::from(insn.off),
            Access {
                size: insn.width() as u32,
                write: true,
                value: None,
                sign_extend: false,
                strict_once: false,
            },
        )
    }

    /// Atomic read-modify-write, `load_acquire`, `store_release`.
    pub fn check_atomic(&mut self, insn: Insn) -> Rule {
        Err(Fault::new(
            22,
            "verifier-atomic",
            format!("atomic {:#x}", insn.imm),
        ))
    }

    /// Legacy packet loads.
    pub fn check_ld_abs(&mut self, insn: Insn) -> Rule {
        Err(Fault::new(
            22,
            "verifier-legacy-load",
            format!("{:#x}", insn.code),
        ))
    }
}
