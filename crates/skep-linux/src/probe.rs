//! Whether the kernel answers at all: asked by trying the cheapest real thing, never by guessing from versions.

use skep_spec::insn::Insn;

use crate::error::Error;
use crate::program::{Program, ProgramLoad};
use crate::syscall::Syscall;

/// Tells whether programs can be loaded here, by loading `r0 = 0; exit`; the error says why not.
pub fn available(door: &dyn Syscall) -> Result<(), Error> {
    let insns = [
        Insn {
            code: 0xb7,
            dst: 0,
            src: 0,
            off: 0,
            imm: 0,
        },
        Insn {
            code: 0x95,
            dst: 0,
            src: 0,
            off: 0,
            imm: 0,
        },
    ];
    // 6 is BPF_PROG_TYPE_XDP: a type that, unlike socket filters, unprivileged users never have.
    let load = ProgramLoad {
        name: "probe",
        program_type: 6,
        expected_attach_type: 0,
        insns: &insns,
        license: "GPL",
        flags: 0,
        btf: None,
        attach_btf_id: 0,
    };
    Program::load(door, &load).map(drop)
}
