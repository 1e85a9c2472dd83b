//! Each form beside what an assembler makes of its text; branches at all distances.

use std::io::Write;
use std::process::{Command, Stdio};

use super::immediate::Logical;
use super::*;

/// An `llvm-mc` that knows arm64.
pub(in crate::jit::a64) fn llvm_mc() -> Option<&'static str> {
    let tool = ["llvm-mc-19", "llvm-mc"].into_iter().find(|tool| {
        let asked = Command::new(tool).arg("--version").output();
        asked.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("aarch64"))
    });
    if tool.is_none() {
        println!("skipped: arm64 code beside llvm-mc: no llvm-mc for aarch64 here");
    }
    tool
}

/// What `llvm-mc` makes of one instruction a line; nothing where there is no `llvm-mc`.
fn assembled(text: &str) -> Option<Vec<u32>> {
    let tool = llvm_mc()?;
    let mut child = Command::new(tool)
        .args(["--arch=aarch64", "--mattr=+lse", "--show-encoding"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it just ran");
    let mut input = child.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let out = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(out.status.success(), "the text does not assemble");
    let words = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| line.split_once("encoding: ["))
        .map(|(_, bytes)| {
            let bytes = bytes.trim_end_matches(']').split(',');
            let byte = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16);
            bytes
                .enumerate()
                .map(|(at, text)| byte(text).expect("a byte") << (8 * at))
                .sum()
        })
        .collect();
    Some(words)
}

/// Instructions with the text that they stand for.
#[derive(Default)]
struct Beside {
    asm: Asm,
    text: String,
}

impl Beside {
    fn case(&mut self, text: String, emit: impl FnOnce(&mut Asm)) {
        let before = self.asm.words.len();
        emit(&mut self.asm);
        assert_eq!(self.asm.words.len(), before + 1, "{text} is one word");
        self.text += &text;
        self.text.push('\n');
    }

    fn check(self) {
        let ours = self.asm.finish().expect("no labels");
        assert_eq!(ours.len(), self.text.lines().count());
        let Some(theirs) = assembled(&self.text) else {
            return;
        };
        assert_eq!(ours.len(), theirs.len(), "one word a line");
        for ((ours, theirs), text) in ours.iter().zip(theirs).zip(self.text.lines()) {
            assert_eq!(
                *ours, theirs,
                "{text}: ours {ours:08x}, theirs {theirs:08x}"
            );
        }
    }
}

/// A register's name; 31 is the zero register.
fn name(width: Width, reg: Reg) -> String {
    match (width, reg.0) {
        (Width::X, 31) => "xzr".into(),
        (Width::W, 31) => "wzr".into(),
        (Width::X, at) => format!("x{at}"),
        (Width::W, at) => format!("w{at}"),
    }
}

fn base_name(reg: Reg) -> String {
    if reg == SP {
        "sp".into()
    } else {
        name(Width::X, reg)
    }
}

const WIDTHS: [Width; 2] = [Width::W, Width::X];
const CONDS: [Cond; 14] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Hs,
    Cond::Lo,
    Cond::Mi,
    Cond::Pl,
    Cond::Vs,
    Cond::Vc,
    Cond::Hi,
    Cond::Ls,
    Cond::Ge,
    Cond::Lt,
    Cond::Gt,
    Cond::Le,
];

/// Three registers that differ, moving through the file.
fn regs(turn: u8) -> (Reg, Reg, Reg) {
    (Reg(turn % 32), Reg((turn + 11) % 32), Reg((turn + 21) % 32))
}

#[test]
fn arithmetic_and_logic() {
    let mut t = Beside::default();
    let mut turn = 0u8;
    for width in WIDTHS {
        let r = |reg| name(width, reg);
        for op in [Arith::Add, Arith::Adds, Arith::Sub, Arith::Subs] {
            let word = format!("{op:?}").to_lowercase();
            for shift in [Shift::Lsl, Shift::Lsr, Shift::Asr] {
                for amount in [0, 1, 13, 31, width.bits() - 1] {
                    turn = (turn + 1) % 200;
                    let (d, n, m) = regs(turn % 31);
                    // 31 in `d` or `n` would be read as an alias or as sp.
                    let how = format!("{shift:?}").to_lowercase();
                    t.case(
                        format!("{word} {}, {}, {}, {how} #{amount}", r(d), r(n), r(m)),
                        |a| a.arith_shifted(op, width, d, n, m, shift, amount),
                    );
                }
            }
            for value in [0, 1, 0xfff, 0x1000, 0xab_c000, 0xff_f000] {
                turn = (turn + 1) % 200;
                let (d, n) = (Reg(turn % 31), Reg((turn + 7) % 31));
                assert!(fits_add(value));
                t.case(format!("{word} {}, {}, #{value}", r(d), r(n)), |a| {
                    a.arith_imm(op, width, d, n, value)
                });
            }
            for extend in [
                Extend::Uxtb,
                Extend::Uxth,
                Extend::Uxtw,
                Extend::Sxtb,
                Extend::Sxth,
                Extend::Sxtw,
            ] {
                turn = (turn + 1) % 200;
                let (d, n, m) = (Reg(turn % 31), Reg((turn + 7) % 31), Reg((turn + 3) % 31));
                let how = format!("{extend:?}").to_lowercase();
                let amount = u32::from(turn % 5);
                t.case(
                    format!("{word} {}, {}, w{}, {how} #{amount}", r(d), r(n), m.0),
                    |a| a.arith_extended(op, width, d, n, m, extend, amount),
                );
            }
        }
        for op in [Logic::And, Logic::Orr, Logic::Eor, Logic::Ands] {
            let word = format!("{op:?}").to_lowercase();
            for shift in [Shift::Lsl, Shift::Lsr, Shift::Asr, Shift::Ror] {
                for amount in [0, 1, 17, width.bits() - 1] {
                    turn = (turn + 1) % 200;
                    let (d, n, m) = regs(turn % 31);
                    let how = format!("{shift:?}").to_lowercase();
                    t.case(
                        format!("{word} {}, {}, {}, {how} #{amount}", r(d), r(n), r(m)),
                        |a| a.logic_shifted(op, width, d, n, m, shift, amount),
                    );
                }
            }
            let negated = ["bic", "orn", "eon", "bics"][op as usize >> 29];
            let (d, n, m) = regs(5);
            t.case(format!("{negated} {}, {}, {}", r(d), r(n), r(m)), |a| {
                a.logic_not(op, width, d, n, m)
            });
        }
        for op in [
            Two::Udiv,
            Two::Sdiv,
            Two::Lslv,
            Two::Lsrv,
            Two::Asrv,
            Two::Rorv,
        ] {
            turn = (turn + 1) % 200;
            let (d, n, m) = regs(turn);
            let word = format!("{op:?}").to_lowercase();
            t.case(format!("{word} {}, {}, {}", r(d), r(n), r(m)), |a| {
                a.two(op, width, d, n, m)
            });
        }
        for op in [One::Rbit, One::Rev16, One::Rev, One::Clz] {
            turn = (turn + 1) % 200;
            let (d, n, _) = regs(turn);
            let word = format!("{op:?}").to_lowercase();
            t.case(format!("{word} {}, {}", r(d), r(n)), |a| {
                a.one(op, width, d, n)
            });
        }
        let (d, n, m) = regs(9);
        let x = Reg(25);
        t.case(
            format!("madd {}, {}, {}, {}", r(d), r(n), r(m), r(x)),
            |a| a.madd(width, d, n, m, x),
        );
        t.case(
            format!("msub {}, {}, {}, {}", r(d), r(n), r(m), r(x)),
            |a| a.msub(width, d, n, m, x),
        );
        t.case(format!("mul {}, {}, {}", r(d), r(n), r(m)), |a| {
            a.mul(width, d, n, m)
        });
        t.case(format!("neg {}, {}", r(d), r(n)), |a| a.neg(width, d, n));
        t.case(format!("mov {}, {}", r(d), r(n)), |a| a.mov(width, d, n));
        t.case(format!("cmp {}, {}", r(d), r(n)), |a| a.cmp(width, d, n));
        t.case(format!("cmp {}, #77", r(d)), |a| a.cmp_imm(width, d, 77));
        t.case(format!("cmn {}, #77", r(d)), |a| a.cmn_imm(width, d, 77));
        t.case(format!("tst {}, {}", r(d), r(n)), |a| a.tst(width, d, n));
        for cond in CONDS {
            let word = format!("{cond:?}").to_lowercase();
            for op in [Select::Csel, Select::Csinc, Select::Csinv, Select::Csneg] {
                let select = format!("{op:?}").to_lowercase();
                t.case(
                    format!("{select} {}, {}, {}, {word}", r(d), r(n), r(m)),
                    |a| a.select(op, width, d, n, m, cond),
                );
            }
            t.case(format!("cset {}, {word}", r(d)), |a| a.cset(width, d, cond));
            t.case(format!("ccmp {}, {}, #9, {word}", r(n), r(m)), |a| {
                a.ccmp(width, n, m, 9, cond)
            });
            assert_eq!(cond.inverted().inverted(), cond);
            assert_eq!(cond as u32 ^ 1, cond.inverted() as u32);
        }
        for amount in [0, 1, 8, 31, width.bits() - 1] {
            t.case(format!("lsl {}, {}, #{amount}", r(d), r(n)), |a| {
                a.lsl(width, d, n, amount)
            });
            t.case(format!("lsr {}, {}, #{amount}", r(d), r(n)), |a| {
                a.lsr(width, d, n, amount)
            });
            t.case(format!("asr {}, {}, #{amount}", r(d), r(n)), |a| {
                a.asr(width, d, n, amount)
            });
            t.case(
                format!("extr {}, {}, {}, #{amount}", r(d), r(n), r(m)),
                |a| a.extr(width, d, n, m, amount),
            );
        }
        for (from, count) in [(0, 8), (3, 5), (16, 16), (31, 1), (0, width.bits() - 1)] {
            t.case(format!("ubfx {}, {}, #{from}, #{count}", r(d), r(n)), |a| {
                a.ubfx(width, d, n, from, count)
            });
            t.case(format!("sbfx {}, {}, #{from}, #{count}", r(d), r(n)), |a| {
                a.sbfx(width, d, n, from, count)
            });
        }
        for (to, count) in [(1, 8), (16, 16), (31, 1)] {
            t.case(format!("ubfiz {}, {}, #{to}, #{count}", r(d), r(n)), |a| {
                a.ubfiz(width, d, n, to, count)
            });
            t.case(format!("sbfiz {}, {}, #{to}, #{count}", r(d), r(n)), |a| {
                a.sbfiz(width, d, n, to, count)
            });
        }
    }
    t.case("rev32 x3, x4".into(), |a| {
        a.one(One::Rev32, Width::X, Reg(3), Reg(4))
    });
    t.case("umulh x3, x4, x5".into(), |a| {
        a.umulh(Reg(3), Reg(4), Reg(5))
    });
    t.case("add sp, sp, #512".into(), |a| {
        a.arith_imm(Arith::Add, Width::X, SP, SP, 512)
    });
    t.case("mov x9, sp".into(), |a| {
        a.arith_imm(Arith::Add, Width::X, Reg(9), SP, 0)
    });
    t.case("sub sp, sp, x4, uxtx #3".into(), |a| {
        a.arith_extended(Arith::Sub, Width::X, SP, SP, Reg(4), Extend::Uxtx, 3)
    });
    t.check();
}

#[test]
fn memory_forms() {
    let mut t = Beside::default();
    let sizes = [Size::B, Size::H, Size::W, Size::D];
    let suffix = |size: Size| ["b", "h", "", ""][size as usize];
    let width = |size: Size| if size == Size::D { Width::X } else { Width::W };
    for size in sizes {
        let bytes = 1 << size as u32;
        for base in [Reg(0), Reg(17), SP] {
            for offset in [0, 1, -1, 255, -256, bytes, 4095 * bytes, 7 * bytes] {
                assert!(fits_offset(size, offset), "{size:?} {offset}");
                let t_reg = Reg(13);
                let (at, short) = (base_name(base), suffix(size));
                let scaled = offset >= 0 && offset % bytes == 0;
                let (load, store) = if scaled {
                    ("ldr", "str")
                } else {
                    ("ldur", "stur")
                };
                let signed = format!("{load}s{}", ["b", "h", "w", ""][size as usize]);
                let r = name(width(size), t_reg);
                t.case(format!("{load}{short} {r}, [{at}, #{offset}]"), |a| {
                    a.memory(Access::Load, size, t_reg, base, offset)
                });
                t.case(format!("{store}{short} {r}, [{at}, #{offset}]"), |a| {
                    a.memory(Access::Store, size, t_reg, base, offset)
                });
                if size != Size::D {
                    t.case(format!("{signed} x13, [{at}, #{offset}]"), |a| {
                        a.memory(Access::LoadSigned, size, t_reg, base, offset)
                    });
                }
            }
        }
        let short = suffix(size);
        let r = name(width(size), Reg(7));
        for scaled in [false, true] {
            let by = if scaled { size as u32 } else { 0 };
            // An amount of 0 is written for bytes only where it is meant.
            let lsl = match (scaled, size) {
                (true, Size::B) => ", lsl #0".to_string(),
                (true, _) => format!(", lsl #{by}"),
                (false, _) => String::new(),
            };
            let ext = if scaled {
                format!(" #{by}")
            } else {
                String::new()
            };
            t.case(format!("ldr{short} {r}, [x3, x9{lsl}]"), |a| {
                a.memory_indexed(
                    Access::Load,
                    size,
                    Reg(7),
                    Reg(3),
                    Reg(9),
                    Extend::Uxtx,
                    scaled,
                )
            });
            t.case(format!("str{short} {r}, [sp, x9{lsl}]"), |a| {
                a.memory_indexed(
                    Access::Store,
                    size,
                    Reg(7),
                    SP,
                    Reg(9),
                    Extend::Uxtx,
                    scaled,
                )
            });
            for (extend, how) in [(Extend::Uxtw, "uxtw"), (Extend::Sxtw, "sxtw")] {
                t.case(format!("ldr{short} {r}, [x3, w9, {how}{ext}]"), |a| {
                    a.memory_indexed(Access::Load, size, Reg(7), Reg(3), Reg(9), extend, scaled)
                });
            }
        }
        t.case(format!("ldar{short} {r}, [x5]"), |a| {
            a.ldar(size, Reg(7), Reg(5))
        });
        t.case(format!("stlr{short} {r}, [x5]"), |a| {
            a.stlr(size, Reg(7), Reg(5))
        });
        t.case(format!("ldxr{short} {r}, [x5]"), |a| {
            a.ldxr(size, Reg(7), Reg(5), false)
        });
        t.case(format!("ldaxr{short} {r}, [x5]"), |a| {
            a.ldxr(size, Reg(7), Reg(5), true)
        });
        t.case(format!("stxr{short} w9, {r}, [x5]"), |a| {
            a.stxr(size, Reg(9), Reg(7), Reg(5), false)
        });
        t.case(format!("stlxr{short} w9, {r}, [x5]"), |a| {
            a.stxr(size, Reg(9), Reg(7), Reg(5), true)
        });
        let s = name(width(size), Reg(11));
        for (op, word) in [
            (Atomic::Add, "ldadd"),
            (Atomic::Clr, "ldclr"),
            (Atomic::Eor, "ldeor"),
            (Atomic::Set, "ldset"),
            (Atomic::Swp, "swp"),
        ] {
            t.case(format!("{word}{short} {s}, {r}, [x5]"), |a| {
                a.atomic(op, size, Reg(11), Reg(7), Reg(5), false)
            });
            t.case(format!("{word}al{short} {s}, {r}, [sp]"), |a| {
                a.atomic(op, size, Reg(11), Reg(7), SP, true)
            });
        }
        t.case(format!("casal{short} {s}, {r}, [x5]"), |a| {
            a.casal(size, Reg(11), Reg(7), Reg(5))
        });
    }
    for offset in [-512, -8, 0, 8, 504] {
        assert!(fits_pair(offset));
        t.case(format!("ldp x1, x2, [x3, #{offset}]"), |a| {
            a.pair(Access::Load, Reg(1), Reg(2), Reg(3), offset)
        });
        t.case(format!("stp x1, xzr, [sp, #{offset}]"), |a| {
            a.pair(Access::Store, Reg(1), ZR, SP, offset)
        });
    }
    t.case("stp x29, x30, [sp, #-96]!".into(), |a| {
        a.pair_pre(Access::Store, Reg(29), LR, SP, -96)
    });
    t.case("ldp x29, x30, [sp], #96".into(), |a| {
        a.pair_post(Access::Load, Reg(29), LR, SP, 96)
    });
    t.case("str x30, [sp, #-16]!".into(), |a| {
        a.memory_pre(Access::Store, LR, SP, -16)
    });
    t.case("ldr x30, [sp], #16".into(), |a| {
        a.memory_post(Access::Load, LR, SP, 16)
    });
    t.case("dmb ish".into(), Asm::dmb_ish);
    t.case("br x3".into(), |a| a.br(Reg(3)));
    t.case("blr x16".into(), |a| a.blr(Reg(16)));
    t.case("ret".into(), Asm::ret);
    t.case("brk #77".into(), |a| a.brk(77));
    t.case("nop".into(), Asm::nop);
    assert!(!fits_offset(Size::D, -257) && !fits_offset(Size::D, 4096 * 8));
    assert!(!fits_offset(Size::W, 258) && fits_offset(Size::H, 258));
    assert!(!fits_pair(512) && !fits_pair(4) && !fits_pair(-520));
    assert!(!fits_add(0x1001) && !fits_add(1 << 24));
    t.check();
}

/// What the fields of a logical immediate stand for, by the manual's `DecodeBitMasks`.
fn expanded(field: u32) -> u64 {
    let (n, immr, imms) = (field >> 12 & 1, field >> 6 & 63, field & 63);
    let len = 31 - ((n << 6) | (!imms & 63)).leading_zeros();
    let size = 1 << len;
    let levels = size - 1;
    let (s, r) = (imms & levels, immr & levels);
    let element = u64::MAX >> (63 - s);
    let mask = u64::MAX >> (64 - size);
    let turned = if r == 0 {
        element
    } else {
        (element >> r | element << (size - r)) & mask
    };
    (0..64 / size).fold(0, |all, at| all | turned << (at * size))
}

#[test]
fn every_logical_immediate_is_found_and_no_other() {
    let mut all = std::collections::HashSet::new();
    for size in [2, 4, 8, 16, 32, 64] {
        for ones in 1..size {
            for turn in 0..size {
                let element = u64::MAX >> (64 - ones);
                let mask = u64::MAX >> (64 - size);
                let turned = if turn == 0 {
                    element
                } else {
                    (element >> turn | element << (size - turn)) & mask
                };
                all.insert((0..64 / size).fold(0, |all, at| all | turned << (at * size)));
            }
        }
    }
    // The manual's count of them.
    assert_eq!(all.len(), 5334);
    for value in &all {
        let field = Logical::new(Width::X, *value).expect("it is one").field();
        assert_eq!(expanded(field), *value, "{value:#x} as {field:#x}");
    }
    let mut t = Beside::default();
    for (at, value) in all.iter().enumerate().filter(|(at, _)| at % 7 == 0) {
        let op = [Logic::And, Logic::Orr, Logic::Eor, Logic::Ands][at % 4];
        let word = format!("{op:?}").to_lowercase();
        let value = *value;
        t.case(format!("{word} x3, x4, #{value:#x}"), |a| {
            a.logic_imm(
                op,
                Width::X,
                Reg(3),
                Reg(4),
                Logical::new(Width::X, value).expect("one"),
            )
        });
        if value >> 32 == value & 0xffff_ffff {
            let low = value as u32;
            t.case(format!("{word} w3, w4, #{low:#x}"), |a| {
                let field = Logical::new(Width::W, value & 0xffff_ffff).expect("one");
                a.logic_imm(op, Width::W, Reg(3), Reg(4), field)
            });
        }
    }
    t.check();
    let mut value = 0x1234_5678_9abc_def1u64;
    for _ in 0..100_000 {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        let near = value & value << 1 & value << 2;
        for value in [value, near, value & 0xffff, 0, u64::MAX] {
            assert_eq!(
                Logical::new(Width::X, value).is_some(),
                all.contains(&value),
                "{value:#x}"
            );
        }
    }
}

/// What a `mov_imm` leaves in its register.
fn moved(words: &[u32]) -> u64 {
    words.iter().fold(0, |old, word| {
        let (hw, part) = (16 * (word >> 21 & 3), u64::from(word >> 5 & 0xffff));
        let wide = word >> 31 == 1;
        let value = match word & 0x7f80_0000 {
            0x5280_0000 => part << hw,
            0x1280_0000 => !(part << hw),
            0x7280_0000 => old & !(0xffff << hw) | part << hw,
            0x3200_0000 => expanded(word >> 10 & 0x1fff),
            _ => panic!("{word:08x} is no move"),
        };
        if wide { value } else { value & 0xffff_ffff }
    })
}

#[test]
fn any_number_gets_into_a_register() {
    let mut numbers = vec![
        0,
        1,
        0xffff,
        0x1_0000,
        0xffff_ffff,
        0xffff_fffe,
        0xffff_0000,
        u64::MAX,
        !1,
        !0xffff,
        1 << 63,
        0x8000_0000,
        0xffff_ffff_8000_0000,
        0x1234_0000_5678,
        0xffff_1234_ffff_5678,
        0x5555_5555_5555_5555,
        0x0001_0002_0003_0004,
        0xdead_beef,
        0xffff_ffff_0000_0000,
    ];
    let mut value = 0x9e37_79b9_7f4a_7c15u64;
    for at in 0..2000 {
        value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(at);
        numbers.extend([
            value,
            value >> 32,
            value | 0xffff_0000_ffff_0000,
            value & 0xffff_0000_ffff,
        ]);
    }
    for number in numbers {
        let mut asm = Asm::default();
        asm.mov_imm(Reg(5), number);
        let words = asm.finish().expect("no labels");
        assert!(words.len() <= 4, "{number:#x}");
        assert_eq!(moved(&words), number, "{number:#x}: {words:08x?}");
        if number < 1 << 16 || !number < 1 << 16 {
            assert_eq!(words.len(), 1, "{number:#x}");
        }
    }
}

/// Where the branches at a word lead in the end, and after how many words.
fn lands(words: &[u32], at: usize) -> usize {
    let word = words[at];
    let signed = |value: u32, bits: u32| i64::from((value << (32 - bits)) as i32 >> (32 - bits));
    let distance = match word >> 24 {
        0x14..=0x17 => signed(word & 0x3ff_ffff, 26),
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => signed(word >> 5 & 0x7_ffff, 19),
        0x36 | 0x37 | 0xb6 | 0xb7 => signed(word >> 5 & 0x3fff, 14),
        _ => return at,
    };
    let to = usize::try_from(at as i64 + distance).expect("in the code");
    if words[to] >> 26 == 5 {
        lands(words, to)
    } else {
        to
    }
}

#[test]
fn branches_reach_at_any_distance() {
    // `brk` is no branch, so that `lands` stops there.
    for distance in [1, 100, 8 << 10, 30 << 10, 300 << 10, 2 << 20] {
        let mut asm = Asm::default();
        let back = asm.label();
        let forth = asm.label();
        asm.bind(back);
        asm.brk(1);
        let firsts = asm.words.len();
        asm.b_if(Cond::Lt, forth);
        asm.cbz(Width::X, Reg(3), forth);
        asm.tbnz(Reg(3), 40, forth);
        asm.b(forth);
        let lasts = asm.words.len();
        for _ in 0..distance / 4 {
            asm.island();
            asm.brk(2);
        }
        asm.bind(forth);
        asm.brk(3);
        let backs = asm.words.len();
        asm.b_if(Cond::Lt, back);
        let compare = asm.words.len();
        asm.cbnz(Width::W, Reg(3), back);
        let test = asm.words.len();
        asm.tbz(Reg(3), 7, back);
        asm.brk(4);
        let words = asm.finish().expect("all bound and in reach");
        for at in firsts..lasts {
            assert_eq!(
                words[lands(&words, at)],
                0xd420_0060,
                "forward over {distance}"
            );
        }
        for at in [backs, compare, test] {
            let short = lands(&words, at) == 0;
            // Or the inverse over a plain branch.
            let long = lands(&words, at) == at + 2 && lands(&words, at + 1) == 0;
            assert!(short || long, "back over {distance}");
        }
        assert_eq!(words[backs] >> 24, 0x54);
        assert_eq!(words[backs] & 15, if distance < 1 << 20 { 11 } else { 10 });
    }
}

#[test]
fn a_dense_stretch_of_branches_still_reaches() {
    let mut asm = Asm::default();
    let forth = asm.label();
    for _ in 0..20_000 {
        asm.island();
        asm.tbz(Reg(1), 3, forth);
        asm.b_if(Cond::Eq, forth);
    }
    for _ in 0..400_000 {
        asm.island();
        asm.brk(2);
    }
    asm.bind(forth);
    asm.brk(3);
    let words = asm.finish().expect("all in reach");
    let mut tests = 0;
    for at in 0..words.len() {
        if words[at] >> 24 == 0x36 || words[at] >> 24 == 0x54 {
            assert_eq!(words[lands(&words, at)], 0xd420_0060);
            tests += 1;
        }
    }
    assert_eq!(tests, 40_000);
}

#[test]
fn a_label_that_nobody_binds_gives_no_code() {
    let mut asm = Asm::default();
    let label = asm.label();
    asm.b(label);
    assert!(asm.finish().is_none());
    let mut asm = Asm::default();
    let label = asm.label();
    asm.cbz(Width::X, Reg(0), label);
    // No islands asked for, so the branch cannot reach.
    for _ in 0..1 << 19 {
        asm.nop();
    }
    asm.bind(label);
    assert!(asm.finish().is_none());
}
