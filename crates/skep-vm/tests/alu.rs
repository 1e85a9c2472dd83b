//! Arithmetic and jumps against reference semantics written from RFC 9669, on chosen and on random operands.

use skep_spec::insn::{Insn, alu, class, jmp, source};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program};

const OPERATIONS: &[(u8, i16)] = &[
    (alu::ADD, 0),
    (alu::SUB, 0),
    (alu::MUL, 0),
    (alu::DIV, 0),
    (alu::DIV, 1),
    (alu::OR, 0),
    (alu::AND, 0),
    (alu::LSH, 0),
    (alu::RSH, 0),
    (alu::MOD, 0),
    (alu::MOD, 1),
    (alu::XOR, 0),
    (alu::MOV, 0),
    (alu::MOV, 8),
    (alu::MOV, 16),
    (alu::MOV, 32),
    (alu::ARSH, 0),
];

const EDGES: &[u64] = &[
    0,
    1,
    2,
    31,
    32,
    63,
    64,
    0x7f,
    0x80,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
    u64::MAX - 1,
];

/// What an operation of `bits` gives, computed on 128 bits and cut down.
fn reference(op: u8, off: i16, bits: u32, dst: u64, src: u64) -> u64 {
    let mask = if bits == 64 {
        u128::from(u64::MAX)
    } else {
        u128::from(u32::MAX)
    };
    let (x, y) = (u128::from(dst) & mask, u128::from(src) & mask);
    let signed = |value: u128| {
        if value >> (bits - 1) & 1 == 1 {
            value as i128 - (mask as i128 + 1)
        } else {
            value as i128
        }
    };
    let (sx, sy) = (signed(x), signed(y));
    let shift = (y % u128::from(bits)) as u32;
    let wide = match (op, off) {
        (alu::ADD, _) => x + y,
        (alu::SUB, _) => (sx - sy) as u128,
        (alu::MUL, _) => x.wrapping_mul(y),
        (alu::DIV, 0) if y == 0 => 0,
        (alu::DIV, 0) => x / y,
        (alu::DIV, _) if y == 0 => 0,
        (alu::DIV, _) => (sx / sy) as u128,
        (alu::MOD, _) if y == 0 => x,
        (alu::MOD, 0) => x % y,
        (alu::MOD, _) => (sx % sy) as u128,
        (alu::OR, _) => x | y,
        (alu::AND, _) => x & y,
        (alu::XOR, _) => x ^ y,
        (alu::LSH, _) => x << shift,
        (alu::RSH, _) => x >> shift,
        (alu::ARSH, _) => (sx >> shift) as u128,
        (alu::MOV, 8) => src as u8 as i8 as i128 as u128,
        (alu::MOV, 16) => src as u16 as i16 as i128 as u128,
        (alu::MOV, 32) => src as u32 as i32 as i128 as u128,
        _ => y,
    };
    (wide & mask) as u64
}

fn run(insns: Vec<Insn>) -> u64 {
    let program = Program::sandboxed(Image {
        insns,
        ..Image::default()
    })
    .expect("loads");
    program
        .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
        .expect("runs")
}

fn load_imm(dst: u8, value: u64) -> [Insn; 2] {
    [
        Insn::new(0x18, dst, 0, 0, value as u32 as i32),
        Insn::new(0, 0, 0, 0, (value >> 32) as u32 as i32),
    ]
}

fn check(op: u8, off: i16, bits: u32, x: u64, y: u64) {
    let class = if bits == 64 { class::ALU64 } else { class::ALU };
    let mut insns = Vec::new();
    insns.extend(load_imm(3, x));
    insns.extend(load_imm(4, y));
    insns.push(Insn::new(class | op | source::X, 3, 4, off, 0));
    insns.push(Insn::mov64_reg(0, 3));
    insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
    assert_eq!(
        run(insns),
        reference(op, off, bits, x, y),
        "op {op:#x} off {off} of {bits} bits on {x:#x}, {y:#x}"
    );
    // The immediate form, where the second operand is one.
    if y as i32 as i64 as u64 == y && !(op == alu::MOV && off != 0) {
        let mut insns = Vec::new();
        insns.extend(load_imm(0, x));
        insns.push(Insn::new(class | op | source::K, 0, 0, off, y as i32));
        insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
        assert_eq!(
            run(insns),
            reference(op, off, bits, x, y),
            "op {op:#x} off {off} of {bits} bits on {x:#x} and imm {y:#x}"
        );
    }
}

/// xorshift64* (Vigna 2014).
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn each_operation(mut visit: impl FnMut(u8, i16, u32)) {
    for &(op, off) in OPERATIONS {
        for bits in [32, 64] {
            if !(op == alu::MOV && off == 32 && bits == 32) {
                visit(op, off, bits);
            }
        }
    }
}

#[test]
fn arithmetic_on_edges() {
    each_operation(|op, off, bits| {
        for &x in EDGES {
            for &y in EDGES {
                check(op, off, bits, x, y);
            }
        }
    });
}

#[test]
fn arithmetic_on_random_operands() {
    let mut state = 0x9e37_79b9;
    each_operation(|op, off, bits| {
        for _ in 0..200 {
            let narrow = random(&mut state) % 64;
            let (x, y) = (
                random(&mut state) >> narrow,
                random(&mut state) >> (random(&mut state) % 64),
            );
            check(op, off, bits, x, y);
        }
    });
}

#[test]
fn jumps_on_edges() {
    type Taken = fn(u64, u64, i64, i64) -> bool;
    let jumps: [(u8, Taken); 11] = [
        (jmp::JEQ, |x, y, _, _| x == y),
        (jmp::JNE, |x, y, _, _| x != y),
        (jmp::JGT, |x, y, _, _| x > y),
        (jmp::JGE, |x, y, _, _| x >= y),
        (jmp::JLT, |x, y, _, _| x < y),
        (jmp::JLE, |x, y, _, _| x <= y),
        (jmp::JSGT, |_, _, x, y| x > y),
        (jmp::JSGE, |_, _, x, y| x >= y),
        (jmp::JSLT, |_, _, x, y| x < y),
        (jmp::JSLE, |_, _, x, y| x <= y),
        (jmp::JSET, |x, y, _, _| x & y != 0),
    ];
    for (op, taken) in jumps {
        for class in [class::JMP, class::JMP32] {
            for &x in EDGES {
                for &y in EDGES {
                    let want = if class == class::JMP {
                        taken(x, y, x as i64, y as i64)
                    } else {
                        taken(
                            x as u32 as u64,
                            y as u32 as u64,
                            x as i32 as i64,
                            y as i32 as i64,
                        )
                    };
                    let mut insns = Vec::new();
                    insns.extend(load_imm(3, x));
                    insns.extend(load_imm(4, y));
                    insns.push(Insn::mov64_imm(0, 1));
                    insns.push(Insn::new(class | op | source::X, 3, 4, 1, 0));
                    insns.push(Insn::mov64_imm(0, 0));
                    insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
                    assert_eq!(
                        run(insns),
                        u64::from(want),
                        "jump {op:#x} of class {class} on {x:#x}, {y:#x}"
                    );
                    if y as i32 as i64 as u64 == y {
                        let mut insns = Vec::new();
                        insns.extend(load_imm(3, x));
                        insns.push(Insn::mov64_imm(0, 1));
                        insns.push(Insn::new(class | op | source::K, 3, 0, 1, y as i32));
                        insns.push(Insn::mov64_imm(0, 0));
                        insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
                        assert_eq!(
                            run(insns),
                            u64::from(want),
                            "jump {op:#x} of class {class} on {x:#x}, imm {y:#x}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn byte_order_and_negation() {
    const VALUE: u64 = 0x0102_0304_0506_0708;
    let of = |code: u8, imm: i32| {
        let mut insns = load_imm(0, VALUE).to_vec();
        insns.push(Insn::new(code, 0, 0, 0, imm));
        insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
        run(insns)
    };
    let (le, be) = (
        class::ALU | alu::END | source::TO_LE,
        class::ALU | alu::END | source::TO_BE,
    );
    let swap = class::ALU64 | alu::END;
    assert_eq!(
        [of(le, 16), of(le, 32), of(le, 64)],
        [0x0708, 0x0506_0708, VALUE]
    );
    assert_eq!(
        [of(be, 16), of(be, 32), of(be, 64)],
        [0x0807, 0x0807_0605, VALUE.swap_bytes()]
    );
    assert_eq!(
        [of(swap, 16), of(swap, 32), of(swap, 64)],
        [0x0807, 0x0807_0605, VALUE.swap_bytes()]
    );
    assert_eq!(of(class::ALU64 | alu::NEG, 0), VALUE.wrapping_neg());
    assert_eq!(
        of(class::ALU | alu::NEG, 0),
        u64::from((VALUE as u32).wrapping_neg())
    );
}
