//! What the assembler makes of each instruction, as another disassembler reads it.

use std::io::Write;
use std::process::{Command, Stdio};

use super::encode::*;

/// Instructions with the text that they must be, in Intel's syntax.
struct Sheet {
    asm: Asm,
    starts: Vec<usize>,
    texts: Vec<String>,
}

impl Sheet {
    fn add(&mut self, text: impl Into<String>, emit: impl FnOnce(&mut Asm)) {
        self.starts.push(self.asm.bytes.len());
        self.texts.push(text.into());
        emit(&mut self.asm);
    }
}

const NAMES: [[&str; 16]; 4] = [
    [
        "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b",
        "r13b", "r14b", "r15b",
    ],
    [
        "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w",
        "r13w", "r14w", "r15w",
    ],
    [
        "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d",
        "r12d", "r13d", "r14d", "r15d",
    ],
    [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ],
];
const WIDTHS: [Width; 4] = [Width::B, Width::H, Width::W, Width::D];
const PTR: [&str; 4] = ["byte", "word", "dword", "qword"];

fn name(width: usize, reg: Reg) -> &'static str {
    NAMES[width][reg.0 as usize]
}

fn memory(mem: Mem) -> String {
    let mut text = String::new();
    if let Some(base) = mem.base {
        text = name(3, base).into();
    }
    if let Some((index, shift)) = mem.index {
        let scale = if shift == 0 {
            String::new()
        } else {
            format!("{}*", 1 << shift)
        };
        let plus = if text.is_empty() { "" } else { " + " };
        text = format!("{text}{plus}{scale}{}", name(3, index));
    }
    match mem.disp {
        0 => {}
        disp if disp < 0 => text = format!("{text} - {}", disp.unsigned_abs()),
        disp => text = format!("{text} + {disp}"),
    }
    format!("[{text}]")
}

fn memories() -> Vec<Mem> {
    let mut all = Vec::new();
    for base in (0..16).map(Reg) {
        for disp in [0, -8, 127, 128, -70000] {
            all.push(Mem::at(base, disp));
            for (index, shift) in [(RAX, 0), (R12, 3), (R13, 1), (RBP, 2)] {
                all.push(Mem {
                    base: Some(base),
                    index: Some((index, shift)),
                    disp,
                });
            }
        }
    }
    all.push(Mem {
        base: None,
        index: Some((R9, 3)),
        disp: 16,
    });
    all
}

fn sheet() -> Sheet {
    let mut sheet = Sheet {
        asm: Asm::new(0, 0),
        starts: Vec::new(),
        texts: Vec::new(),
    };
    let alus = [
        (Alu::Add, "add"),
        (Alu::Or, "or"),
        (Alu::And, "and"),
        (Alu::Sub, "sub"),
        (Alu::Xor, "xor"),
        (Alu::Cmp, "cmp"),
    ];
    let shifts = [
        (Shift::Rol, "rol"),
        (Shift::Shl, "shl"),
        (Shift::Shr, "shr"),
        (Shift::Sar, "sar"),
    ];
    for dst in (0..16).map(Reg) {
        for width in [2, 3] {
            let wide = width == 3;
            let to = name(width, dst);
            for src in [RAX, RBP, RSI, R8, R12, R15] {
                let from = name(width, src);
                for (alu, text) in alus {
                    sheet.add(format!("{text} {to}, {from}"), |asm| {
                        asm.alu_rr(alu, wide, dst, src)
                    });
                }
                sheet.add(format!("mov {to}, {from}"), |asm| {
                    asm.mov_rr(wide, dst, src)
                });
                sheet.add(format!("test {to}, {from}"), |asm| {
                    asm.test_rr(wide, dst, src)
                });
                sheet.add(format!("imul {to}, {from}"), |asm| {
                    asm.imul_rr(wide, dst, src)
                });
                sheet.add(format!("imul {to}, {from}, -3"), |asm| {
                    asm.imul_rri(wide, dst, src, -3)
                });
                sheet.add(format!("imul {to}, {from}, 70000"), |asm| {
                    asm.imul_rri(wide, dst, src, 70000)
                });
                sheet.add(format!("cmovbe {to}, {from}"), |asm| {
                    asm.cmov(Cond::Be, wide, dst, src)
                });
                sheet.add(format!("rorx {to}, {from}, 7"), |asm| {
                    asm.rorx(wide, dst, src, 7)
                });
                for (shift, text) in &shifts[1..] {
                    let count = name(width, R9);
                    sheet.add(format!("{text}x {to}, {from}, {count}"), |asm| {
                        asm.shift_x(*shift, wide, dst, src, R9)
                    });
                }
                let low = name(0, src);
                sheet.add(format!("movsx {to}, {low}"), |asm| {
                    asm.sign_extend(wide, Width::B, dst, src)
                });
                let half = name(1, src);
                sheet.add(format!("movsx {to}, {half}"), |asm| {
                    asm.sign_extend(wide, Width::H, dst, src)
                });
            }
            for (alu, text) in alus {
                for imm in [-1, 100, 70000] {
                    if dst != RAX || imm != 70000 {
                        sheet.add(format!("{text} {to}, {imm}"), |asm| {
                            asm.alu_ri(alu, wide, dst, imm)
                        });
                    }
                }
            }
            for (shift, text) in shifts {
                sheet.add(format!("{text} {to}, 5"), |asm| {
                    asm.shift_ri(shift, wide, dst, 5)
                });
                sheet.add(format!("{text} {to}, cl"), |asm| {
                    asm.shift_cl(shift, wide, dst)
                });
            }
            sheet.add(format!("shl {to}"), |asm| {
                asm.shift_ri(Shift::Shl, wide, dst, 1)
            });
            sheet.add(format!("neg {to}"), |asm| asm.unary(Unary::Neg, wide, dst));
            sheet.add(format!("div {to}"), |asm| asm.unary(Unary::Div, wide, dst));
            sheet.add(format!("idiv {to}"), |asm| {
                asm.unary(Unary::Idiv, wide, dst)
            });
            sheet.add(format!("bswap {to}"), |asm| asm.bswap(wide, dst));
            sheet.add(format!("test {to}, 70000"), |asm| {
                asm.test_ri(wide, dst, 70000)
            });
        }
        let (low, half, word, whole) = (name(0, dst), name(1, dst), name(2, dst), name(3, dst));
        sheet.add(format!("test {low}, 7"), |asm| asm.test_ri(true, dst, 7));
        sheet.add(format!("cmp {low}, -56"), |asm| asm.cmp8_ri(dst, 200));
        sheet.add(format!("test {low}, {low}"), |asm| asm.test8_rr(dst));
        sheet.add(format!("sete {low}"), |asm| asm.set(Cond::E, dst));
        sheet.add(format!("movzx r9d, {low}"), |asm| {
            asm.zero_extend(Width::B, R9, dst)
        });
        sheet.add(format!("movzx eax, {half}"), |asm| {
            asm.zero_extend(Width::H, RAX, dst)
        });
        sheet.add(format!("movsxd rcx, {word}"), |asm| {
            asm.sign_extend(true, Width::W, RCX, dst)
        });
        sheet.add(format!("mov {word}, 70000"), |asm| asm.mov_ri(dst, 70000));
        sheet.add(format!("mov {whole}, -2"), |asm| {
            asm.mov_ri(dst, u64::MAX - 1)
        });
        sheet.add(format!("movabs {whole}, 81985529216486895"), |asm| {
            asm.mov_ri(dst, 0x0123_4567_89ab_cdef)
        });
        sheet.add(format!("rol {half}, 8"), |asm| asm.swap16(dst));
        sheet.add(format!("push {whole}"), |asm| asm.push(dst));
        sheet.add(format!("pop {whole}"), |asm| asm.pop(dst));
        sheet.add(format!("jmp {whole}"), |asm| asm.jmp_r(dst));
        sheet.add(format!("call {whole}"), |asm| asm.call_r(dst));
    }
    for (at, mem) in memories().into_iter().enumerate() {
        let text = memory(mem);
        let reg = Reg((at % 16) as u8);
        for size in 0..4 {
            let (width, ptr, value) = (WIDTHS[size], PTR[size], name(size, reg));
            sheet.add(format!("mov {ptr} ptr {text}, {value}"), |asm| {
                asm.store(width, mem, reg)
            });
            sheet.add(format!("mov {ptr} ptr {text}, 17"), |asm| {
                asm.store_imm(width, mem, 17)
            });
            sheet.add(format!("xchg {ptr} ptr {text}, {value}"), |asm| {
                asm.xchg(width, mem, reg)
            });
            let load = match size {
                0 | 1 => format!("movzx {}, {ptr} ptr {text}", name(2, reg)),
                _ => format!("mov {value}, {ptr} ptr {text}"),
            };
            sheet.add(load, |asm| asm.load(width, reg, mem));
            let signed = match size {
                0 | 1 => format!("movsx {}, {ptr} ptr {text}", name(3, reg)),
                2 => format!("movsxd {}, {ptr} ptr {text}", name(3, reg)),
                _ => format!("mov {value}, {ptr} ptr {text}"),
            };
            sheet.add(signed, |asm| asm.load_signed(width, reg, mem));
        }
        for size in [2, 3] {
            let (wide, ptr, value) = (size == 3, PTR[size], name(size, reg));
            sheet.add(format!("add {value}, {ptr} ptr {text}"), |asm| {
                asm.alu_rm(Alu::Add, wide, reg, mem)
            });
            sheet.add(format!("cmp {ptr} ptr {text}, {value}"), |asm| {
                asm.alu_mr(Alu::Cmp, wide, mem, reg)
            });
            sheet.add(format!("cmp {ptr} ptr {text}, 3"), |asm| {
                asm.alu_mi(Alu::Cmp, wide, mem, 3)
            });
            sheet.add(format!("lea {value}, {text}"), |asm| {
                asm.lea(wide, reg, mem)
            });
            sheet.add(format!("lock or {ptr} ptr {text}, {value}"), |asm| {
                asm.lock_alu_mr(Alu::Or, wide, mem, reg)
            });
            sheet.add(format!("lock xadd {ptr} ptr {text}, {value}"), |asm| {
                asm.lock_xadd(wide, mem, reg)
            });
            sheet.add(format!("lock cmpxchg {ptr} ptr {text}, {value}"), |asm| {
                asm.lock_cmpxchg(wide, mem, reg)
            });
            sheet.add(format!("dec {ptr} ptr {text}"), |asm| asm.dec_m(wide, mem));
        }
        sheet.add(format!("cmp byte ptr {text}, 5"), |asm| asm.cmp8_mi(mem, 5));
        sheet.add(format!("push qword ptr {text}"), |asm| asm.push_m(mem));
        sheet.add(format!("pop qword ptr {text}"), |asm| asm.pop_m(mem));
        sheet.add(format!("movups xmmword ptr {text}, xmm0"), |asm| {
            asm.store_xmm0(mem)
        });
    }
    sheet.add("xorps xmm0, xmm0", Asm::zero_xmm0);
    sheet.add("cdq", |asm| asm.cqo(false));
    sheet.add("cqo", |asm| asm.cqo(true));
    sheet.add("ret", Asm::ret);
    sheet.add("ud2", Asm::trap);
    sheet
}

#[test]
fn another_disassembler_reads_the_same() {
    let sheet = sheet();
    let mut input = String::new();
    for (index, start) in sheet.starts.iter().enumerate() {
        let end = sheet
            .starts
            .get(index + 1)
            .copied()
            .unwrap_or(sheet.asm.bytes.len());
        for byte in &sheet.asm.bytes[*start..end] {
            input += &format!("{byte:#x} ");
        }
        input.push('\n');
    }
    let child = Command::new("llvm-mc-19")
        .args(["--disassemble", "-triple=x86_64", "--output-asm-variant=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no llvm-mc-19 to compare with");
        return;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("llvm-mc runs");
    writer.join().expect("no panic").expect("all is written");
    let text = String::from_utf8(output.stdout).expect("text");
    // `lock` may stand on a line of its own.
    let mut lines: Vec<String> = Vec::new();
    let mut lock = false;
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('.'))
    {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line == "lock" {
            lock = true;
            continue;
        }
        lines.push(if lock { format!("lock {line}") } else { line });
        lock = false;
    }
    assert_eq!(lines.len(), sheet.texts.len());
    for (got, want) in lines.iter().zip(&sheet.texts) {
        assert_eq!(got, want);
    }
}

#[test]
fn jumps_reach_or_say_so() {
    let mut asm = Asm::new(0, 0);
    let (back, ahead) = (asm.label(), asm.label());
    asm.bind(back);
    asm.nops(100);
    asm.jmp(back, false);
    asm.jcc(Cond::E, ahead, true);
    asm.nops(127);
    asm.bind(ahead);
    asm.jcc(Cond::Ne, back, false);
    let (bytes, _) = asm.finish().expect("all reach");
    assert_eq!(bytes[100..104], [0xeb, 0x9a, 0x74, 127]);
    assert_eq!(bytes[231..], [0x0f, 0x85, 0x13, 0xff, 0xff, 0xff]);

    let mut asm = Asm::new(0, 0);
    let ahead = asm.label();
    asm.jmp(ahead, true);
    asm.nops(128);
    asm.bind(ahead);
    assert_eq!(asm.finish().err(), Some(Unfit::Short));
    let mut asm = Asm::new(0, 0);
    let nowhere = asm.label();
    asm.jmp(nowhere, false);
    assert_eq!(asm.finish().err(), Some(Unfit::Near));
}
