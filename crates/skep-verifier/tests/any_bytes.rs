//! Any instructions whatever give a verdict: never a panic, whoever loads them and whatever kernel they are for.

use skep_spec::insn::Insn;
use skep_spec::map::MapType;
use skep_spec::profile::Profile;
use skep_spec::program::ProgramType;
use skep_verifier::Input;
use skep_verifier::input::{Caps, MapInfo};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Codes that mean something, so that most programs get past the first checks.
const CODES: &[u8] = &[
    0x07, 0x0f, 0xb7, 0xbf, 0xb4, 0xbc, 0x04, 0x0c, 0x57, 0x67, 0x77, 0xc7, 0x87, 0x84, 0x37, 0x97,
    0xd7, 0xdc, 0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91, 0x62, 0x6a, 0x72, 0x7a, 0x63, 0x6b, 0x73,
    0x7b, 0xc3, 0xdb, 0x05, 0x06, 0x15, 0x1d, 0x25, 0x2d, 0x55, 0x5d, 0x65, 0xa5, 0xad, 0xb5, 0xc5,
    0xd5, 0xe5, 0x16, 0x26, 0x46, 0x56, 0x85, 0x95, 0x18, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50,
];

fn random_insn(random: &mut Random, len: u64) -> Insn {
    let code = if random.below(20) == 0 {
        random.next() as u8
    } else {
        CODES[random.below(CODES.len() as u64) as usize]
    };
    let reg = |random: &mut Random| {
        if random.below(30) == 0 {
            random.below(16) as u8
        } else {
            random.below(11) as u8
        }
    };
    let imm = match random.below(5) {
        0 => random.next() as i32,
        1 => [0x00, 0x01, 0x40, 0x41, 0x50, 0xa0, 0xe1, 0xf1, 0x100, 0x110]
            [random.below(10) as usize],
        _ => random.below(212) as i32 - 16,
    };
    let off = match random.below(4) {
        0 => random.next() as i16,
        1 => 0,
        2 => random.below(len) as i16 - random.below(len) as i16,
        _ => -8 * random.below(12) as i16,
    };
    Insn {
        code,
        dst: reg(random),
        src: reg(random),
        off,
        imm,
    }
}

fn map(map_type: MapType) -> MapInfo {
    MapInfo {
        name: "m".into(),
        map_type,
        key_size: 4,
        value_size: 16,
        max_entries: 4,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    }
}

#[test]
fn any_instructions_give_a_verdict() {
    let setting = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let wanted = setting("SKEP_ANY_BYTES_PROGRAMS").unwrap_or(20_000);
    let mut random = Random(setting("SKEP_ANY_BYTES_SEED").unwrap_or(0x5eed));
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..wanted {
        let len = if random.below(2) == 0 {
            1 + random.below(4)
        } else {
            2 + random.below(24)
        };
        let mut insns: Vec<Insn> = Vec::new();
        if random.below(2) == 0 {
            // r6 to r9 and some stack hold something, so that more is reached.
            for reg in 6..10 {
                insns.push(Insn::mov64_reg(reg, if reg == 6 { 1 } else { 10 }));
            }
            insns.push(Insn::store_imm(0x18, 10, -8, 0));
        }
        for _ in 0..len {
            let insn = random_insn(&mut random, len);
            insns.push(insn);
            if insn.code == 0x18 {
                let pseudo = random.below(7) as u8;
                let last = insns.len() - 1;
                insns[last] = Insn {
                    src: pseudo,
                    off: 0,
                    imm: random.below(6) as i32,
                    ..insn
                };
                insns.push(Insn {
                    imm: random.below(3) as i32,
                    ..Insn::default()
                });
            }
        }
        insns.push(Insn::mov64_imm(0, 0));
        insns.push(Insn::exit());
        let program_type = ProgramType::ALL[random.below(ProgramType::ALL.len() as u64) as usize];
        let mut input = Input::new(program_type, insns);
        input.maps = vec![
            map(MapType::Array),
            map(MapType::Hash),
            map(MapType::ProgArray),
            map(MapType::Ringbuf),
            map(MapType::Arena),
        ];
        input.maps[3].value_size = 0;
        input.maps.truncate(random.below(6) as usize);
        if random.below(3) == 0 {
            input.caps = Caps::NONE;
        }
        if random.below(3) == 0 {
            input.profile = Profile::ALL[random.below(Profile::ALL.len() as u64) as usize].clone();
        }
        input.flags = random.below(256) as u32;
        input.log_level = random.below(3) as u32;
        match skep_verifier::verify(&input) {
            Ok(_) => accepted += 1,
            Err(rejection) => {
                assert!(rejection.fault.errno > 0, "{:?}", rejection.fault);
                refused += 1;
                if refused % 16 == 0 {
                    let _ = skep_verifier::explain::explain(&input, &rejection);
                }
            }
        }
    }
    assert!(
        accepted > 0 && refused > 0,
        "{accepted} accepted, {refused} refused"
    );
}
