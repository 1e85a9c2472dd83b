//! Any instructions on a packet, or on plain bytes: a result, a trap or a refusal; never a panic, never a byte touched
//! outside of what the program was given.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_spec::context::xdp;
use skep_spec::insn::{Endian, decode_all};
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, code)) = bytes.split_first() else { return };
    let Ok(insns) = decode_all(&code[..code.len() & !7], Endian::Little) else { return };
    let limits = Limits { insns: Some(10_000), ..Limits::default() };
    if kind & 1 == 0 {
        let Ok(program) = Program::sandboxed(Image { insns, ..Image::default() }) else { return };
        // Between two guards, which must keep their bytes.
        let mut memory = [0xa5u8; 192];
        let _ = program.run(&mut Ctx::Flat(&mut memory[64..128]), &FixedEnv::default(), &limits);
        assert!(memory[..64].iter().chain(&memory[128..]).all(|byte| *byte == 0xa5));
    } else {
        let image = Image { insns, layout: Some(&xdp::XDP), ..Image::default() };
        let Ok(program) = Program::sandboxed(image) else { return };
        let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
        if packet.load(&[0x11; 60]).is_ok() {
            let _ = program.run(&mut Ctx::Packet(&mut packet), &FixedEnv::default(), &limits);
        }
    }
});
