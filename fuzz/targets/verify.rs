//! Any instructions for any kind of program: a verdict, never a panic; what is accepted as an XDP program runs in the
//! sandbox without a trap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_spec::context::xdp;
use skep_spec::insn::{Endian, decode_all};
use skep_spec::map::{MapDef, MapType};
use skep_spec::profile::Profile;
use skep_spec::program::ProgramType;
use skep_verifier::Input;
use skep_verifier::input::{Caps, MapInfo};
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program, TrapCause};

fn map(map_type: MapType) -> MapInfo {
    MapInfo {
        name: "m".into(),
        map_type,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, how, code @ ..] = bytes else { return };
    let code = &code[..code.len() & !7];
    let Ok(insns) = decode_all(code, Endian::Little) else { return };
    let xdp_only = kind & 0x80 != 0;
    let program_type = if xdp_only {
        ProgramType::Xdp
    } else {
        ProgramType::ALL[usize::from(kind & 0x7f) % ProgramType::ALL.len()]
    };
    let mut input = Input::new(program_type, insns.clone());
    input.maps = vec![map(MapType::Array), map(MapType::Hash)];
    input.flags = u32::from(how & 0x0b);
    input.log_level = u32::from(how >> 4 & 3);
    if how & 0x40 != 0 {
        input.caps = Caps::NONE;
    }
    if how & 0x80 != 0 {
        input.profile = Profile::ALL[usize::from(how & 7) % Profile::ALL.len()].clone();
    }
    if skep_verifier::verify(&input).is_err() || !xdp_only {
        return;
    }
    let maps = input.maps.iter().map(|info| {
        let def = MapDef {
            name: info.name.clone(),
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: 0,
            map_extra: 0,
            numa_node: None,
        };
        skep_vm::map::create(&def, &skep_vm::map::CreateOptions::default()).ok()
    });
    let Some(maps) = maps.collect::<Option<Vec<_>>>() else { return };
    let image = Image {
        insns,
        maps,
        program_type: Some(ProgramType::Xdp),
        layout: Some(&xdp::XDP),
        ..Image::default()
    };
    // Helpers that the engine does not have are refused at load.
    let Ok(program) = Program::sandboxed(image) else { return };
    let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
    if packet.load(&[0x11; 60]).is_err() {
        return;
    }
    let limits = Limits { insns: Some(100_000), ..Limits::default() };
    if let Err(trap) = program.run(&mut Ctx::Packet(&mut packet), &FixedEnv::default(), &limits) {
        assert!(matches!(trap.cause, TrapCause::Budget { .. }), "accepted, and then: {trap}");
    }
});
