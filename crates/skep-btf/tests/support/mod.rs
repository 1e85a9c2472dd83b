//! What the integration tests share: taking BTF and functions out of an ELF object, and running a relocated function.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::PathBuf;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use skep_btf::core::{CoreError, CoreKind, Patched, Relocator};
use skep_btf::{Btf, BtfExt};
use skep_spec::insn::{Endian, Insn, alu, class, decode_all, jmp, mode, size};

pub fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../conformance/cilium-ebpf/btf")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub struct Function {
    pub name: String,
    pub section: String,
    pub offset: u32,
    pub insns: Vec<Insn>,
}

pub struct Elf {
    pub btf: Btf,
    pub ext: BtfExt,
    pub functions: Vec<Function>,
}

impl Elf {
    pub fn parse(bytes: &[u8]) -> Elf {
        let file = object::File::parse(bytes).expect("an ELF file");
        let section = |name: &str| {
            file.section_by_name(name)
                .map(|section| section.data().unwrap().to_vec())
        };
        let btf = Btf::parse(section(".BTF").expect("a .BTF section")).unwrap();
        let ext = section(".BTF.ext").map_or_else(BtfExt::default, |bytes| {
            BtfExt::parse(&btf, &bytes).unwrap()
        });
        let endian = if file.is_little_endian() {
            Endian::Little
        } else {
            Endian::Big
        };
        let mut functions = Vec::new();
        for symbol in file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        {
            let section = file
                .section_by_index(symbol.section_index().unwrap())
                .unwrap();
            let from = symbol.address() as usize;
            let bytes = &section.data().unwrap()[from..from + symbol.size() as usize];
            functions.push(Function {
                name: symbol.name().unwrap().into(),
                section: section.name().unwrap().into(),
                offset: from as u32,
                insns: decode_all(bytes, endian).unwrap(),
            });
        }
        Elf {
            btf,
            ext,
            functions,
        }
    }

    /// Relocates a function; the reasons of poisoned instructions come with it.
    pub fn relocate(
        &self,
        function: &Function,
        relocator: &mut Relocator<'_>,
        kinds: &mut Vec<CoreKind>,
    ) -> Result<(Vec<Insn>, Vec<String>), CoreError> {
        let mut insns = function.insns.clone();
        let mut poisons = Vec::new();
        let end = function.offset + insns.len() as u32 * 8;
        let relos = self
            .ext
            .core_relos
            .iter()
            .filter(|section| section.name == function.section);
        for relo in relos.flat_map(|section| &section.records) {
            if (function.offset..end).contains(&relo.insn_off) {
                kinds.push(relo.kind);
                let resolved = relocator.resolve(relo)?;
                let at = (relo.insn_off - function.offset) as usize / 8;
                if let Patched::Poisoned(why) = relocator.patch(&mut insns, at, &resolved)? {
                    poisons.push(why);
                }
            }
        }
        Ok((insns, poisons))
    }
}

/// Runs a function that uses its stack and no helpers; r0, or why not.
pub fn run(insns: &[Insn], endian: Endian) -> Result<u64, String> {
    const STACK: u64 = 0x1000;
    let mut stack = [0_u8; 512];
    let mut regs = [0_u64; 11];
    regs[10] = STACK + 512;
    let mut pc = 0_usize;
    for _ in 0..100_000 {
        let insn = *insns.get(pc).ok_or("ran off the end")?;
        pc += 1;
        let (dst, src) = (insn.dst as usize, insn.src as usize);
        let place = |base: u64| -> Result<std::ops::Range<usize>, String> {
            let len = match insn.code & 0x18 {
                size::B => 1,
                size::H => 2,
                size::W => 4,
                _ => 8,
            };
            let from = base
                .wrapping_add(insn.off as i64 as u64)
                .wrapping_sub(STACK) as usize;
            if from >= 512 || from + len > 512 {
                Err(format!("access at {from} outside the stack"))
            } else {
                Ok(from..from + len)
            }
        };
        let mut store = |base: u64, value: u64| -> Result<(), String> {
            let place = place(base)?;
            let len = place.len();
            match endian {
                Endian::Little => stack[place].copy_from_slice(&value.to_le_bytes()[..len]),
                Endian::Big => stack[place].copy_from_slice(&value.to_be_bytes()[8 - len..]),
            }
            Ok(())
        };
        match insn.code & 0x07 {
            class::LD if insn.code == class::LD | size::DW | mode::IMM => {
                regs[dst] = u64::from(insn.imm as u32) | u64::from(insns[pc].imm as u32) << 32;
                pc += 1;
            }
            class::LDX => {
                let place = place(regs[src])?;
                let mut value = [0_u8; 8];
                let len = place.len();
                regs[dst] = match endian {
                    Endian::Little => {
                        value[..len].copy_from_slice(&stack[place]);
                        u64::from_le_bytes(value)
                    }
                    Endian::Big => {
                        value[8 - len..].copy_from_slice(&stack[place]);
                        u64::from_be_bytes(value)
                    }
                };
            }
            class::ST => store(regs[dst], insn.imm as i64 as u64)?,
            class::STX => store(regs[dst], regs[src])?,
            kind @ (class::ALU | class::ALU64) => {
                let wide = kind == class::ALU64;
                let b = if insn.code & 8 != 0 {
                    regs[src]
                } else {
                    insn.imm as i64 as u64
                };
                let (a, b) = if wide {
                    (regs[dst], b)
                } else {
                    (regs[dst] & 0xffff_ffff, b & 0xffff_ffff)
                };
                let shift = b as u32 & if wide { 63 } else { 31 };
                let value = match insn.code & 0xf0 {
                    alu::ADD => a.wrapping_add(b),
                    alu::SUB => a.wrapping_sub(b),
                    alu::MUL => a.wrapping_mul(b),
                    alu::OR => a | b,
                    alu::AND => a & b,
                    alu::XOR => a ^ b,
                    alu::LSH => a << shift,
                    alu::RSH => a >> shift,
                    alu::MOV => b,
                    alu::ARSH if wide => (a as i64 >> shift) as u64,
                    alu::ARSH => (a as u32 as i32 >> shift) as u64,
                    other => return Err(format!("arithmetic {other:#x}")),
                };
                regs[dst] = if wide { value } else { value & 0xffff_ffff };
            }
            kind @ (class::JMP | class::JMP32) => {
                let b = if insn.code & 8 != 0 {
                    regs[src]
                } else {
                    insn.imm as i64 as u64
                };
                let (a, b) = if kind == class::JMP {
                    (regs[dst], b)
                } else {
                    (regs[dst] as u32 as u64, b as u32 as u64)
                };
                let (x, y) = if kind == class::JMP {
                    (a as i64, b as i64)
                } else {
                    (a as u32 as i32 as i64, b as u32 as i32 as i64)
                };
                let taken = match insn.code & 0xf0 {
                    jmp::EXIT => return Ok(regs[0]),
                    jmp::CALL => return Err(format!("a call of {:#x} at {}", insn.imm, pc - 1)),
                    jmp::JA => true,
                    jmp::JEQ => a == b,
                    jmp::JNE => a != b,
                    jmp::JGT => a > b,
                    jmp::JGE => a >= b,
                    jmp::JLT => a < b,
                    jmp::JLE => a <= b,
                    jmp::JSET => a & b != 0,
                    jmp::JSGT => x > y,
                    jmp::JSGE => x >= y,
                    jmp::JSLT => x < y,
                    _ => x <= y,
                };
                if taken {
                    pc = pc.wrapping_add_signed(isize::from(insn.off));
                }
            }
            other => return Err(format!("class {other} at {}", pc - 1)),
        }
    }
    Err("does not end".into())
}
