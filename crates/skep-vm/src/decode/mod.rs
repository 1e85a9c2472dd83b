//! From instructions to the interpreter's operations, with all checks that need no run.
//!
//! Invariants of what [`decode`] answers, which the interpreter relies on without looking again: registers are 0 to 10,
//! and r10 is never written; the target of every jump and call is an operation that starts an instruction; the last
//! operation does not fall through; a `Raw` load or store stays within the frame of the function it is in, or is
//! proven; helper indices are valid. Operation `i` is instruction slot `i`, so an operation's index is the `pc` of traps.

use crate::sync::OnceLock;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skep_spec::context::{Access, ContextKind, ContextLayout, Resolved};
use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, pseudo, size, source};
use skep_spec::program::ProgramType;

use crate::helper::{self, TAIL_CALL};
use crate::memory::FRAME_BYTES;
use crate::program::{Image, LoadError, Program, Proven};
use crate::proof::Proof;

mod function;
mod proven;

pub(crate) use function::Function;

/// What an operation does. K has the second operand in `imm`, X in the source register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[rustfmt::skip]
pub(crate) enum Code {
    Add64K, Add64X, Add32K, Add32X,
    Sub64K, Sub64X, Sub32K, Sub32X,
    Mul64K, Mul64X, Mul32K, Mul32X,
    Div64K, Div64X, Div32K, Div32X,
    Or64K, Or64X, Or32K, Or32X,
    And64K, And64X, And32K, And32X,
    Lsh64K, Lsh64X, Lsh32K, Lsh32X,
    Rsh64K, Rsh64X, Rsh32K, Rsh32X,
    Mod64K, Mod64X, Mod32K, Mod32X,
    Xor64K, Xor64X, Xor32K, Xor32X,
    Mov64K, Mov64X, Mov32K, Mov32X,
    Arsh64K, Arsh64X, Arsh32K, Arsh32X,
    Sdiv64K, Sdiv64X, Sdiv32K, Sdiv32X,
    Smod64K, Smod64X, Smod32K, Smod32X,
    Neg64, Neg32,
    Movsx8To64, Movsx16To64, Movsx32To64, Movsx8To32, Movsx16To32,
    Le16, Le32, Be16, Be32, Be64, Swap16, Swap32, Swap64, Nop,
    LdImm64, LdMap, LdFunc,
    LdB, LdH, LdW, LdD, LdsB, LdsH, LdsW,
    LdRawB, LdRawH, LdRawW, LdRawD, LdsRawB, LdsRawH, LdsRawW,
    LdProbeB, LdProbeH, LdProbeW, LdProbeD, LdsProbeB, LdsProbeH, LdsProbeW,
    StB, StH, StW, StD, StxB, StxH, StxW, StxD,
    StRawB, StRawH, StRawW, StRawD, StxRawB, StxRawH, StxRawW, StxRawD,
    AtomicAdd32, AtomicOr32, AtomicAnd32, AtomicXor32, FetchAdd32, FetchOr32, FetchAnd32, FetchXor32, Xchg32, CmpXchg32,
    AtomicAdd64, AtomicOr64, AtomicAnd64, AtomicXor64, FetchAdd64, FetchOr64, FetchAnd64, FetchXor64, Xchg64, CmpXchg64,
    LoadAcqB, LoadAcqH, LoadAcqW, LoadAcqD, StoreRelB, StoreRelH, StoreRelW, StoreRelD,
    Jeq64K, Jeq64X, Jeq32K, Jeq32X,
    Jne64K, Jne64X, Jne32K, Jne32X,
    Jgt64K, Jgt64X, Jgt32K, Jgt32X,
    Jge64K, Jge64X, Jge32K, Jge32X,
    Jlt64K, Jlt64X, Jlt32K, Jlt32X,
    Jle64K, Jle64X, Jle32K, Jle32X,
    Jsgt64K, Jsgt64X, Jsgt32K, Jsgt32X,
    Jsge64K, Jsge64X, Jsge32K, Jsge32X,
    Jslt64K, Jslt64X, Jslt32K, Jslt32X,
    Jsle64K, Jsle64X, Jsle32K, Jsle32X,
    Jset64K, Jset64X, Jset32K, Jset32X,
    Ja, MayGoto,
    Call, CallPure, CallHelper, TailCall, CallX, Exit,
    Packet,
    Poison,
}

/// One decoded instruction.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Op {
    pub code: Code,
    pub dst: u8,
    pub src: u8,
    /// Of an atomic operation: its address is proven.
    pub direct: bool,
    /// Memory: byte offset. Jumps: operations to the target, from the next one. Calls: bytes of the callee's frame.
    pub off: i32,
    /// The immediate, sign-extended. Local calls: operations to the target. Helper calls: index into the helpers.
    pub imm: i64,
}

/// What aligned reads of 4 and 8 bytes of a context come to, so that runs need not search its fields.
#[derive(Default)]
pub(crate) struct ContextIndex {
    words: Box<[Option<Resolved>]>,
    double_words: Box<[Option<Resolved>]>,
}

impl ContextIndex {
    fn new(layout: &ContextLayout) -> ContextIndex {
        if layout.kind == ContextKind::Flat {
            return ContextIndex::default();
        }
        let reads = |width: u32| {
            (0..layout.size / width)
                .map(|at| layout.resolve(i64::from(at * width), width, false).ok())
                .collect()
        };
        ContextIndex {
            words: reads(4),
            double_words: reads(8),
        }
    }

    /// Where the bytes of an aligned 4-byte read lie in the slots, and whether it takes a whole slot there.
    #[inline(always)]
    pub fn word(&self, offset: u64) -> Option<(u64, bool)> {
        if offset & 3 != 0 {
            return None;
        }
        match *self.words.get((offset / 4) as usize)? {
            Some(Resolved::Part(at)) => Some((u64::from(at), false)),
            Some(Resolved::Slot(slot)) => Some((8 * slot as u64, true)),
            _ => None,
        }
    }

    /// Nothing says nothing: ask the layout.
    pub fn read(&self, offset: u32, width: u32) -> Option<Resolved> {
        let reads = match width {
            4 => &self.words,
            8 => &self.double_words,
            _ => return None,
        };
        if !offset.is_multiple_of(width) {
            None
        } else {
            *reads.get((offset / width) as usize)?
        }
    }
}

/// Helpers that move and release nothing that a program can reach, after which windows stay good: map access, clocks,
/// ids, probe reads, printing, event output.
const PURE: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16, 25, 35, 42, 45, 87, 88, 89, 112, 113, 114, 115, 118, 125,
    130, 160, 165, 177, 195, 208,
];

/// `bpf_get_current_task_btf`, whose answer programs follow without `bpf_probe_read_kernel`.
const GET_CURRENT_TASK_BTF: u32 = 158;

struct Decoder<'i> {
    image: &'i Image,
    helpers: Vec<(u32, helper::HelperFn)>,
    poisons: BTreeSet<usize>,
    symbols: BTreeMap<usize, u64>,
    kfuncs: BTreeMap<usize, &'i str>,
}

fn malformed(pc: usize, why: impl Into<String>) -> LoadError {
    LoadError::Malformed {
        pc,
        why: why.into(),
    }
}

fn unknown(pc: usize, insn: &Insn) -> LoadError {
    malformed(
        pc,
        format!(
            "unknown opcode {:02x} (src {}, off {}, imm {:#x})",
            insn.code, insn.src, insn.off, insn.imm
        ),
    )
}

/// Checks that fields an instruction does not use are zero.
fn unused(pc: usize, fields: &[(&str, i64)]) -> Result<(), LoadError> {
    match fields.iter().find(|(_, value)| *value != 0) {
        None => Ok(()),
        Some((name, value)) => Err(malformed(
            pc,
            format!("the unused field {name} is {value}, not 0"),
        )),
    }
}

/// Makes a program of an image, or tells which instruction is in the way.
pub(crate) fn decode(image: Image, proof: Option<Proof>) -> Result<Program, LoadError> {
    let mut decoder = Decoder {
        image: &image,
        helpers: Vec::new(),
        poisons: image.poisons.iter().map(|(pc, _)| *pc).collect(),
        symbols: image.symbols.iter().copied().collect(),
        kfuncs: image
            .kfuncs
            .iter()
            .map(|(pc, name)| (*pc, &**name))
            .collect(),
    };
    let mut ops = decoder.operations()?;
    let helpers: Box<[_]> = decoder.helpers.into();
    let own_helpers = helpers
        .iter()
        .map(|(id, _)| image.own_helper(*id).cloned())
        .collect();
    let kernel_pointers = matches!(
        image.program_type,
        Some(ProgramType::Tracing | ProgramType::Lsm | ProgramType::StructOps)
    ) || helpers.iter().any(|(id, _)| *id == GET_CURRENT_TASK_BTF);
    let mut functions = function::functions(&image, &mut ops)?;
    let proven = proof.map(|proof| {
        let context_bytes =
            proven::apply(&proof, &image, &mut ops, &mut functions).max(proof.context_bytes);
        Proven {
            context_bytes,
            proof,
        }
    });
    let flat_writable = image.layout.is_none_or(|layout| {
        layout
            .fields
            .iter()
            .any(|field| field.write != Access::Denied)
    });
    let tail_calls = ops.iter().any(|op| op.code == Code::TailCall);
    Ok(Program {
        name: Arc::from(&*image.name),
        ops: ops.into(),
        maps: image.maps.into(),
        functions: functions.into(),
        helpers,
        own_helpers,
        lines: image.lines.into(),
        program_type: image.program_type,
        layout: image.layout,
        context: image.layout.map(ContextIndex::new).unwrap_or_default(),
        flat_writable,
        kernel_pointers,
        tail_calls,
        poisons: image.poisons.into(),
        proven,
        jit: OnceLock::new(),
    })
}

impl Decoder<'_> {
    fn operations(&mut self) -> Result<Vec<Op>, LoadError> {
        let insns = &self.image.insns;
        let nop = |code| Op {
            code,
            dst: 0,
            src: 0,
            direct: false,
            off: 0,
            imm: 0,
        };
        let mut ops = Vec::with_capacity(insns.len());
        let mut pc = 0;
        while let Some(insn) = insns.get(pc) {
            let wide = insn.is_ld_imm64();
            if self.poisons.contains(&pc) {
                ops.push(nop(Code::Poison));
            } else {
                let op = self.operation(pc, insn)?;
                if op.dst > 10 || (op.src > 10) {
                    return Err(malformed(pc, format!("R{} is invalid", op.dst.max(op.src))));
                }
                if op.dst == 10 && writes_dst(op.code) || op.src == 10 && writes_src(op.code) {
                    return Err(malformed(pc, "frame pointer is read only"));
                }
                ops.push(op);
            }
            if wide {
                if pc + 1 >= insns.len() {
                    return Err(malformed(
                        pc,
                        "invalid bpf_ld_imm64 insn: its second half is missing",
                    ));
                }
                // Nothing jumps here; `functions` checks.
                ops.push(nop(Code::Poison));
            }
            pc += insn.slots();
        }
        Ok(ops)
    }

    fn operation(&mut self, pc: usize, insn: &Insn) -> Result<Op, LoadError> {
        let plain = |code| Op {
            code,
            dst: insn.dst,
            src: insn.src,
            direct: false,
            off: i32::from(insn.off),
            imm: i64::from(insn.imm),
        };
        match insn.class() {
            class::ALU | class::ALU64 => self.arithmetic(pc, insn).map(plain),
            class::JMP | class::JMP32 => self.jump(pc, insn),
            class::LDX => {
                unused(pc, &[("imm", insn.imm.into())])?;
                let frame = in_frame(insn.src, insn);
                let code = match (insn.mode(), insn.size(), frame) {
                    (mode::MEM, size::B, false) => Code::LdB,
                    (mode::MEM, size::H, false) => Code::LdH,
                    (mode::MEM, size::W, false) => Code::LdW,
                    (mode::MEM, size::DW, false) => Code::LdD,
                    (mode::MEM, size::B, true) => Code::LdRawB,
                    (mode::MEM, size::H, true) => Code::LdRawH,
                    (mode::MEM, size::W, true) => Code::LdRawW,
                    (mode::MEM, size::DW, true) => Code::LdRawD,
                    (mode::MEMSX, size::B, false) => Code::LdsB,
                    (mode::MEMSX, size::H, false) => Code::LdsH,
                    (mode::MEMSX, size::W, false) => Code::LdsW,
                    (mode::MEMSX, size::B, true) => Code::LdsRawB,
                    (mode::MEMSX, size::H, true) => Code::LdsRawH,
                    (mode::MEMSX, size::W, true) => Code::LdsRawW,
                    _ => return Err(unknown(pc, insn)),
                };
                Ok(plain(code))
            }
            class::ST => {
                unused(pc, &[("src", insn.src.into())])?;
                let code = match (insn.mode(), insn.size(), in_frame(insn.dst, insn)) {
                    (mode::MEM, size::B, false) => Code::StB,
                    (mode::MEM, size::H, false) => Code::StH,
                    (mode::MEM, size::W, false) => Code::StW,
                    (mode::MEM, size::DW, false) => Code::StD,
                    (mode::MEM, size::B, true) => Code::StRawB,
                    (mode::MEM, size::H, true) => Code::StRawH,
                    (mode::MEM, size::W, true) => Code::StRawW,
                    (mode::MEM, size::DW, true) => Code::StRawD,
                    _ => return Err(unknown(pc, insn)),
                };
                Ok(plain(code))
            }
            class::STX if insn.mode() == mode::ATOMIC => atomic_code(insn)
                .map(plain)
                .ok_or_else(|| unknown(pc, insn)),
            class::STX => {
                unused(pc, &[("imm", insn.imm.into())])?;
                let code = match (insn.mode(), insn.size(), in_frame(insn.dst, insn)) {
                    (mode::MEM, size::B, false) => Code::StxB,
                    (mode::MEM, size::H, false) => Code::StxH,
                    (mode::MEM, size::W, false) => Code::StxW,
                    (mode::MEM, size::DW, false) => Code::StxD,
                    (mode::MEM, size::B, true) => Code::StxRawB,
                    (mode::MEM, size::H, true) => Code::StxRawH,
                    (mode::MEM, size::W, true) => Code::StxRawW,
                    (mode::MEM, size::DW, true) => Code::StxRawD,
                    _ => return Err(unknown(pc, insn)),
                };
                Ok(plain(code))
            }
            _ => self.load(pc, insn),
        }
    }

    fn arithmetic(&self, pc: usize, insn: &Insn) -> Result<Code, LoadError> {
        let wide = insn.class() == class::ALU64;
        let register = insn.is_register_form();
        if insn.op() == alu::END {
            unused(pc, &[("src", insn.src.into()), ("off", insn.off.into())])?;
            let to_be = insn.code & source::TO_BE != 0;
            return Ok(match (wide, to_be, insn.imm) {
                (false, false, 16) => Code::Le16,
                (false, false, 32) => Code::Le32,
                (false, false, 64) if cfg!(target_endian = "little") => Code::Nop,
                (false, false, 64) => Code::Swap64,
                (false, true, 16) => Code::Be16,
                (false, true, 32) => Code::Be32,
                (false, true, 64) => Code::Be64,
                (true, false, 16) => Code::Swap16,
                (true, false, 32) => Code::Swap32,
                (true, false, 64) => Code::Swap64,
                _ => return Err(unknown(pc, insn)),
            });
        }
        if insn.op() == alu::NEG {
            unused(
                pc,
                &[
                    ("src", insn.src.into()),
                    ("off", insn.off.into()),
                    ("imm", insn.imm.into()),
                ],
            )?;
            return match (register, wide) {
                (false, true) => Ok(Code::Neg64),
                (false, false) => Ok(Code::Neg32),
                _ => Err(unknown(pc, insn)),
            };
        }
        if insn.op() == alu::MOV && register && insn.off != 0 {
            if wide && insn.off == 1 {
                return Err(LoadError::NotSupported {
                    pc,
                    what: "an address-space cast without an arena map".into(),
                });
            }
            unused(pc, &[("imm", insn.imm.into())])?;
            return Ok(match (wide, insn.off) {
                (true, 8) => Code::Movsx8To64,
                (true, 16) => Code::Movsx16To64,
                (true, 32) => Code::Movsx32To64,
                (false, 8) => Code::Movsx8To32,
                (false, 16) => Code::Movsx16To32,
                _ => return Err(unknown(pc, insn)),
            });
        }
        unused(
            pc,
            &[if register {
                ("imm", insn.imm.into())
            } else {
                ("src", insn.src.into())
            }],
        )?;
        let signed = insn.off == 1 && matches!(insn.op(), alu::DIV | alu::MOD);
        if !signed {
            unused(pc, &[("off", insn.off.into())])?;
        }
        macro_rules! form {
            ($k64:ident, $x64:ident, $k32:ident, $x32:ident) => {
                match (wide, register) {
                    (true, false) => Code::$k64,
                    (true, true) => Code::$x64,
                    (false, false) => Code::$k32,
                    (false, true) => Code::$x32,
                }
            };
        }
        Ok(match insn.op() {
            alu::ADD => form!(Add64K, Add64X, Add32K, Add32X),
            alu::SUB => form!(Sub64K, Sub64X, Sub32K, Sub32X),
            alu::MUL => form!(Mul64K, Mul64X, Mul32K, Mul32X),
            alu::DIV if signed => form!(Sdiv64K, Sdiv64X, Sdiv32K, Sdiv32X),
            alu::DIV => form!(Div64K, Div64X, Div32K, Div32X),
            alu::OR => form!(Or64K, Or64X, Or32K, Or32X),
            alu::AND => form!(And64K, And64X, And32K, And32X),
            alu::LSH => form!(Lsh64K, Lsh64X, Lsh32K, Lsh32X),
            alu::RSH => form!(Rsh64K, Rsh64X, Rsh32K, Rsh32X),
            alu::MOD if signed => form!(Smod64K, Smod64X, Smod32K, Smod32X),
            alu::MOD => form!(Mod64K, Mod64X, Mod32K, Mod32X),
            alu::XOR => form!(Xor64K, Xor64X, Xor32K, Xor32X),
            alu::MOV => form!(Mov64K, Mov64X, Mov32K, Mov32X),
            alu::ARSH => form!(Arsh64K, Arsh64X, Arsh32K, Arsh32X),
            _ => return Err(unknown(pc, insn)),
        })
    }

    fn jump(&mut self, pc: usize, insn: &Insn) -> Result<Op, LoadError> {
        let wide = insn.class() == class::JMP;
        let register = insn.is_register_form();
        let (dst, src, off, imm) = (
            ("dst", insn.dst.into()),
            ("src", insn.src.into()),
            ("off", insn.off.into()),
            ("imm", insn.imm.into()),
        );
        let plain = |code, off| Op {
            code,
            dst: insn.dst,
            src: insn.src,
            direct: false,
            off,
            imm: i64::from(insn.imm),
        };
        let none = |code, off| Op {
            code,
            dst: 0,
            src: 0,
            direct: false,
            off,
            imm: 0,
        };
        match (insn.op(), wide, register) {
            (jmp::JA, true, false) => {
                unused(pc, &[dst, src, imm])?;
                return Ok(none(Code::Ja, insn.off.into()));
            }
            (jmp::JA, false, false) => {
                unused(pc, &[dst, src, off])?;
                return Ok(none(Code::Ja, insn.imm));
            }
            (jmp::EXIT, true, false) => {
                unused(pc, &[dst, src, off, imm])?;
                return Ok(none(Code::Exit, 0));
            }
            (jmp::JCOND, true, false) => {
                unused(pc, &[dst, src, imm])?;
                return Ok(none(Code::MayGoto, insn.off.into()));
            }
            (jmp::CALL, true, true) => {
                unused(pc, &[src, off, imm])?;
                return Ok(plain(Code::CallX, 0));
            }
            (jmp::CALL, true, false) => {
                unused(pc, &[dst])?;
                return self.call(pc, insn);
            }
            _ => {}
        }
        unused(pc, &[if register { imm } else { src }])?;
        macro_rules! form {
            ($k64:ident, $x64:ident, $k32:ident, $x32:ident) => {
                match (wide, register) {
                    (true, false) => Code::$k64,
                    (true, true) => Code::$x64,
                    (false, false) => Code::$k32,
                    (false, true) => Code::$x32,
                }
            };
        }
        let code = match insn.op() {
            jmp::JEQ => form!(Jeq64K, Jeq64X, Jeq32K, Jeq32X),
            jmp::JNE => form!(Jne64K, Jne64X, Jne32K, Jne32X),
            jmp::JGT => form!(Jgt64K, Jgt64X, Jgt32K, Jgt32X),
            jmp::JGE => form!(Jge64K, Jge64X, Jge32K, Jge32X),
            jmp::JLT => form!(Jlt64K, Jlt64X, Jlt32K, Jlt32X),
            jmp::JLE => form!(Jle64K, Jle64X, Jle32K, Jle32X),
            jmp::JSGT => form!(Jsgt64K, Jsgt64X, Jsgt32K, Jsgt32X),
            jmp::JSGE => form!(Jsge64K, Jsge64X, Jsge32K, Jsge32X),
            jmp::JSLT => form!(Jslt64K, Jslt64X, Jslt32K, Jslt32X),
            jmp::JSLE => form!(Jsle64K, Jsle64X, Jsle32K, Jsle32X),
            jmp::JSET => form!(Jset64K, Jset64X, Jset32K, Jset32X),
            _ => return Err(unknown(pc, insn)),
        };
        Ok(plain(code, insn.off.into()))
    }

    fn call(&mut self, pc: usize, insn: &Insn) -> Result<Op, LoadError> {
        let op = |code, imm| Op {
            code,
            dst: 0,
            src: 0,
            direct: false,
            off: 0,
            imm,
        };
        if insn.src == pseudo::KFUNC_CALL {
            let name = self.kfuncs.get(&pc).copied();
            let Some(kfunc) = name.and_then(helper::kfunc::by_name) else {
                let name = name.map_or_else(|| format!("#{}", insn.imm), str::to_owned);
                return Err(LoadError::UnknownKfunc { pc, name });
            };
            // Not a helper's number: `callx` must not find it.
            self.helpers.push((u32::MAX, kfunc));
            return Ok(op(Code::CallHelper, self.helpers.len() as i64 - 1));
        }
        unused(pc, &[("off", insn.off.into())])?;
        match insn.src {
            pseudo::CALL => Ok(op(Code::Call, insn.imm.into())),
            pseudo::HELPER => {
                let id = insn.imm as u32;
                let own = || self.image.own_helper(id).map(|_| helper::OWN);
                let Some(helper) = helper::by_id(id).or_else(own) else {
                    return Err(LoadError::UnknownHelper { pc, id });
                };
                let index = match self.helpers.iter().position(|(known, _)| *known == id) {
                    Some(index) => index,
                    None => {
                        self.helpers.push((id, helper));
                        self.helpers.len() - 1
                    }
                };
                let code = match id {
                    TAIL_CALL => Code::TailCall,
                    id if PURE.contains(&id) => Code::CallPure,
                    _ => Code::CallHelper,
                };
                Ok(op(code, index as i64))
            }
            _ => Err(unknown(pc, insn)),
        }
    }

    fn load(&mut self, pc: usize, insn: &Insn) -> Result<Op, LoadError> {
        match insn.mode() {
            mode::ABS | mode::IND if insn.size() != size::DW => {
                unused(pc, &[("dst", insn.dst.into()), ("off", insn.off.into())])?;
                let indirect = insn.mode() == mode::IND;
                if !indirect {
                    unused(pc, &[("src", insn.src.into())])?;
                }
                // `dst` says whether the source register counts, `off` how many bytes.
                Ok(Op {
                    code: Code::Packet,
                    dst: indirect.into(),
                    src: insn.src,
                    direct: false,
                    off: insn.width() as i32,
                    imm: insn.imm.into(),
                })
            }
            mode::IMM if insn.is_ld_imm64() => self.wide_load(pc, insn),
            _ => Err(unknown(pc, insn)),
        }
    }

    fn wide_load(&mut self, pc: usize, insn: &Insn) -> Result<Op, LoadError> {
        let Some(next) = self.image.insns.get(pc + 1).copied() else {
            return Err(malformed(
                pc,
                "invalid bpf_ld_imm64 insn: its second half is missing",
            ));
        };
        unused(pc, &[("off", insn.off.into())])?;
        unused(
            pc + 1,
            &[
                ("code", next.code.into()),
                ("dst", next.dst.into()),
                ("src", next.src.into()),
                ("off", next.off.into()),
            ],
        )?;
        let map = |kind: &str| {
            let maps = &self.image.maps;
            let known = usize::try_from(insn.imm)
                .ok()
                .and_then(|index| maps.get(index));
            known.ok_or_else(|| {
                malformed(
                    pc,
                    format!(
                        "{kind} {} does not exist, the program has {} maps",
                        insn.imm,
                        maps.len()
                    ),
                )
            })
        };
        let value = match insn.src {
            0 => insn.imm64(next),
            pseudo::MAP_FD | pseudo::MAP_IDX => {
                unused(pc + 1, &[("imm", next.imm.into())])?;
                // The slot of the program's boxed list, whose address is known once the list is made: see `maps_base`.
                map("map")?;
                return Ok(Op {
                    code: Code::LdMap,
                    dst: insn.dst,
                    src: 0,
                    direct: false,
                    off: 0,
                    imm: insn.imm.into(),
                });
            }
            pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE => {
                let map = map("map")?;
                let Some(addr) = map.direct_value(next.imm as u32) else {
                    return Err(malformed(
                        pc,
                        format!(
                            "map {} has no value at offset {} to take the address of",
                            map.def().name,
                            next.imm
                        ),
                    ));
                };
                addr
            }
            pseudo::FUNC => {
                unused(pc + 1, &[("imm", next.imm.into())])?;
                return Ok(Op {
                    code: Code::LdFunc,
                    dst: insn.dst,
                    src: 0,
                    direct: false,
                    off: 0,
                    imm: insn.imm.into(),
                });
            }
            pseudo::BTF_ID => {
                let Some(addr) = self.symbols.get(&pc) else {
                    return Err(LoadError::NotSupported {
                        pc,
                        what: format!("kernel variable with BTF id {}", insn.imm),
                    });
                };
                *addr
            }
            _ => return Err(unknown(pc, insn)),
        };
        Ok(Op {
            code: Code::LdImm64,
            dst: insn.dst,
            src: 0,
            direct: false,
            off: 0,
            imm: value as i64,
        })
    }
}

/// Whether a memory operand based on r10 is certainly within the function's own frame.
fn in_frame(base: u8, insn: &Insn) -> bool {
    let off = i32::from(insn.off);
    base == 10 && off >= -(FRAME_BYTES as i32) && off + insn.width() as i32 <= 0
}

fn atomic_code(insn: &Insn) -> Option<Code> {
    let sized = |codes: [Code; 4]| match insn.size() {
        size::B => codes[0],
        size::H => codes[1],
        size::W => codes[2],
        _ => codes[3],
    };
    match insn.imm {
        atomic::LOAD_ACQ => {
            return Some(sized([
                Code::LoadAcqB,
                Code::LoadAcqH,
                Code::LoadAcqW,
                Code::LoadAcqD,
            ]));
        }
        atomic::STORE_REL => {
            return Some(sized([
                Code::StoreRelB,
                Code::StoreRelH,
                Code::StoreRelW,
                Code::StoreRelD,
            ]));
        }
        _ => {}
    }
    const FETCH: i32 = atomic::FETCH;
    let (narrow, wide) = match insn.imm {
        atomic::ADD => (Code::AtomicAdd32, Code::AtomicAdd64),
        atomic::OR => (Code::AtomicOr32, Code::AtomicOr64),
        atomic::AND => (Code::AtomicAnd32, Code::AtomicAnd64),
        atomic::XOR => (Code::AtomicXor32, Code::AtomicXor64),
        imm if imm == atomic::ADD | FETCH => (Code::FetchAdd32, Code::FetchAdd64),
        imm if imm == atomic::OR | FETCH => (Code::FetchOr32, Code::FetchOr64),
        imm if imm == atomic::AND | FETCH => (Code::FetchAnd32, Code::FetchAnd64),
        imm if imm == atomic::XOR | FETCH => (Code::FetchXor32, Code::FetchXor64),
        atomic::XCHG => (Code::Xchg32, Code::Xchg64),
        atomic::CMPXCHG => (Code::CmpXchg32, Code::CmpXchg64),
        _ => return None,
    };
    match insn.size() {
        size::W => Some(narrow),
        size::DW => Some(wide),
        _ => None,
    }
}

/// Whether an operation changes its destination register.
fn writes_dst(code: Code) -> bool {
    let code = code as u8;
    // By the order of `Code`: arithmetic and loads come first, then stores; the acquiring loads stand apart.
    code < Code::StB as u8 || (Code::LoadAcqB as u8..=Code::LoadAcqD as u8).contains(&code)
}

/// Whether an operation changes its source register.
fn writes_src(code: Code) -> bool {
    let code = code as u8;
    (Code::FetchAdd32 as u8..=Code::Xchg32 as u8).contains(&code)
        || (Code::FetchAdd64 as u8..=Code::Xchg64 as u8).contains(&code)
}
