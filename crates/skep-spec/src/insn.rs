//! One instruction slot of 64 bits, and how it lies in memory (RFC 9669, section 3).
//!
//! Invariants: decoding then encoding with the same byte order gives the same bytes; a wide instruction
//! (`ld_imm64`) is two slots, the second with code 0, and is never cut in half by [`decode_all`]. Whether a slot means
//! anything is not decided here but in `opcode`.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use crate::malformed::Malformed;

/// Byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// The order of this machine.
    pub const NATIVE: Endian = if cfg!(target_endian = "little") {
        Endian::Little
    } else {
        Endian::Big
    };
}

/// The low three bits of the code.
pub mod class {
    /// Wide immediate load, legacy packet load.
    pub const LD: u8 = 0x00;
    /// Load from memory.
    pub const LDX: u8 = 0x01;
    /// Store an immediate.
    pub const ST: u8 = 0x02;
    /// Store a register; atomics.
    pub const STX: u8 = 0x03;
    /// Arithmetic on 32 bits.
    pub const ALU: u8 = 0x04;
    /// Jumps on 64 bits, calls, exit.
    pub const JMP: u8 = 0x05;
    /// Jumps on 32 bits.
    pub const JMP32: u8 = 0x06;
    /// Arithmetic on 64 bits.
    pub const ALU64: u8 = 0x07;
    /// The bits that hold the class.
    pub const MASK: u8 = 0x07;
}

/// Arithmetic: the high four bits of the code.
pub mod alu {
    /// dst += src
    pub const ADD: u8 = 0x00;
    /// dst -= src
    pub const SUB: u8 = 0x10;
    /// dst *= src
    pub const MUL: u8 = 0x20;
    /// dst /= src; signed with `off` 1
    pub const DIV: u8 = 0x30;
    /// dst |= src
    pub const OR: u8 = 0x40;
    /// dst &= src
    pub const AND: u8 = 0x50;
    /// dst <<= src
    pub const LSH: u8 = 0x60;
    /// dst >>= src
    pub const RSH: u8 = 0x70;
    /// dst = -dst
    pub const NEG: u8 = 0x80;
    /// dst %= src; signed with `off` 1
    pub const MOD: u8 = 0x90;
    /// dst ^= src
    pub const XOR: u8 = 0xa0;
    /// dst = src; sign-extending with `off` 8, 16 or 32; address-space cast with `off` 1
    pub const MOV: u8 = 0xb0;
    /// dst s>>= src
    pub const ARSH: u8 = 0xc0;
    /// byte swaps
    pub const END: u8 = 0xd0;
    /// The bits that hold the operation.
    pub const MASK: u8 = 0xf0;
}

/// Arithmetic and jumps: where the second operand is.
pub mod source {
    /// The immediate.
    pub const K: u8 = 0x00;
    /// The source register.
    pub const X: u8 = 0x08;
    /// For `alu::END` in class ALU: to little-endian.
    pub const TO_LE: u8 = 0x00;
    /// For `alu::END` in class ALU: to big-endian.
    pub const TO_BE: u8 = 0x08;
}

/// Jumps: the high four bits of the code.
pub mod jmp {
    /// always (`off`; in class JMP32 `imm`)
    pub const JA: u8 = 0x00;
    /// dst == src
    pub const JEQ: u8 = 0x10;
    /// dst > src
    pub const JGT: u8 = 0x20;
    /// dst >= src
    pub const JGE: u8 = 0x30;
    /// dst & src
    pub const JSET: u8 = 0x40;
    /// dst != src
    pub const JNE: u8 = 0x50;
    /// dst s> src
    pub const JSGT: u8 = 0x60;
    /// dst s>= src
    pub const JSGE: u8 = 0x70;
    /// call
    pub const CALL: u8 = 0x80;
    /// return
    pub const EXIT: u8 = 0x90;
    /// dst < src
    pub const JLT: u8 = 0xa0;
    /// dst <= src
    pub const JLE: u8 = 0xb0;
    /// dst s< src
    pub const JSLT: u8 = 0xc0;
    /// dst s<= src
    pub const JSLE: u8 = 0xd0;
    /// conditional pseudo jump: may_goto
    pub const JCOND: u8 = 0xe0;
    /// The bits that hold the operation.
    pub const MASK: u8 = 0xf0;
}

/// Loads and stores: the width.
pub mod size {
    /// 4 bytes
    pub const W: u8 = 0x00;
    /// 2 bytes
    pub const H: u8 = 0x08;
    /// 1 byte
    pub const B: u8 = 0x10;
    /// 8 bytes
    pub const DW: u8 = 0x18;
    /// The bits that hold the width.
    pub const MASK: u8 = 0x18;
}

/// Loads and stores: the mode.
pub mod mode {
    /// Wide immediate.
    pub const IMM: u8 = 0x00;
    /// Legacy packet access at a fixed offset.
    pub const ABS: u8 = 0x20;
    /// Legacy packet access at a register plus an offset.
    pub const IND: u8 = 0x40;
    /// Memory.
    pub const MEM: u8 = 0x60;
    /// Memory, sign-extending.
    pub const MEMSX: u8 = 0x80;
    /// Atomic; the operation is in `imm`.
    pub const ATOMIC: u8 = 0xc0;
    /// The bits that hold the mode.
    pub const MASK: u8 = 0xe0;
}

/// Atomics: the operation in `imm`.
pub mod atomic {
    /// Leave the old value in the source register.
    pub const FETCH: i32 = 0x01;
    /// add
    pub const ADD: i32 = 0x00;
    /// or
    pub const OR: i32 = 0x40;
    /// and
    pub const AND: i32 = 0x50;
    /// exclusive or
    pub const XOR: i32 = 0xa0;
    /// exchange
    pub const XCHG: i32 = 0xe1;
    /// compare with r0 and exchange
    pub const CMPXCHG: i32 = 0xf1;
    /// load with acquire order
    pub const LOAD_ACQ: i32 = 0x100;
    /// store with release order
    pub const STORE_REL: i32 = 0x110;
}

/// What the source register's field means in a wide load or a call.
pub mod pseudo {
    /// ld_imm64: `imm` is a map's file descriptor.
    pub const MAP_FD: u8 = 1;
    /// ld_imm64: `imm` is a map's file descriptor, the second `imm` an offset in its first value.
    pub const MAP_VALUE: u8 = 2;
    /// ld_imm64: `imm` is the BTF id of a kernel variable.
    pub const BTF_ID: u8 = 3;
    /// ld_imm64: `imm` is a relative instruction offset, to take a function's address.
    pub const FUNC: u8 = 4;
    /// ld_imm64: `imm` is an index of the array of map descriptors.
    pub const MAP_IDX: u8 = 5;
    /// ld_imm64: as MAP_IDX, with an offset in the map's first value.
    pub const MAP_IDX_VALUE: u8 = 6;
    /// call: `imm` is a helper's number.
    pub const HELPER: u8 = 0;
    /// call: `imm` is a relative instruction offset.
    pub const CALL: u8 = 1;
    /// call: `imm` is the BTF id of a kernel function.
    pub const KFUNC_CALL: u8 = 2;
}

/// One slot: 64 bits, of which a wide instruction takes two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Class, and what else it takes to know the operation.
    pub code: u8,
    /// Destination register, 0 to 15 (only 0 to 10 exist).
    pub dst: u8,
    /// Source register, 0 to 15, or a `pseudo`.
    pub src: u8,
    /// Signed offset.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

impl Insn {
    /// All fields in the order of the encoding.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn {
            code,
            dst,
            src,
            off,
            imm,
        }
    }

    /// Reads one slot.
    pub const fn from_bytes(bytes: &[u8; 8], endian: Endian) -> Insn {
        let [code, regs, o0, o1, i0, i1, i2, i3] = *bytes;
        match endian {
            Endian::Little => Insn {
                code,
                dst: regs & 0x0f,
                src: regs >> 4,
                off: i16::from_le_bytes([o0, o1]),
                imm: i32::from_le_bytes([i0, i1, i2, i3]),
            },
            Endian::Big => Insn {
                code,
                dst: regs >> 4,
                src: regs & 0x0f,
                off: i16::from_be_bytes([o0, o1]),
                imm: i32::from_be_bytes([i0, i1, i2, i3]),
            },
        }
    }

    /// Writes one slot. Only the low four bits of the registers fit.
    pub const fn to_bytes(self, endian: Endian) -> [u8; 8] {
        let (regs, o, i) = match endian {
            Endian::Little => (
                (self.src << 4) | (self.dst & 0x0f),
                self.off.to_le_bytes(),
                self.imm.to_le_bytes(),
            ),
            Endian::Big => (
                (self.dst << 4) | (self.src & 0x0f),
                self.off.to_be_bytes(),
                self.imm.to_be_bytes(),
            ),
        };
        [self.code, regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// One of [`class`].
    pub const fn class(self) -> u8 {
        self.code & class::MASK
    }

    /// For arithmetic one of [`alu`], for jumps one of [`jmp`].
    pub const fn op(self) -> u8 {
        self.code & 0xf0
    }

    /// For loads and stores one of [`mode`].
    pub const fn mode(self) -> u8 {
        self.code & mode::MASK
    }

    /// For loads and stores one of [`size`].
    pub const fn size(self) -> u8 {
        self.code & size::MASK
    }

    /// For loads and stores: how many bytes.
    pub const fn width(self) -> usize {
        match self.code & size::MASK {
            size::W => 4,
            size::H => 2,
            size::B => 1,
            _ => 8,
        }
    }

    /// For arithmetic and jumps: whether the second operand is the source register.
    pub const fn is_register_form(self) -> bool {
        self.code & source::X != 0
    }

    /// Whether it is the first slot of a wide load.
    pub const fn is_ld_imm64(self) -> bool {
        self.code == class::LD | mode::IMM | size::DW
    }

    /// How many slots the instruction takes: 2 for a wide load, else 1.
    pub const fn slots(self) -> usize {
        if self.is_ld_imm64() { 2 } else { 1 }
    }

    /// Whether it calls something: helper, function, kernel function or the address in a register.
    pub const fn is_call(self) -> bool {
        self.code & !source::X == class::JMP | jmp::CALL
    }

    /// Whether it calls a helper by number.
    pub const fn is_helper_call(self) -> bool {
        self.code == class::JMP | jmp::CALL && self.src == pseudo::HELPER
    }

    /// Whether it calls a function of the same program.
    pub const fn is_local_call(self) -> bool {
        self.code == class::JMP | jmp::CALL && self.src == pseudo::CALL
    }

    /// Whether it calls a kernel function.
    pub const fn is_kfunc_call(self) -> bool {
        self.code == class::JMP | jmp::CALL && self.src == pseudo::KFUNC_CALL
    }

    /// Whether it is an exit.
    pub const fn is_exit(self) -> bool {
        self.code == class::JMP | jmp::EXIT
    }

    /// Where a jump goes, in slots relative to the next instruction; `None` if it is not a jump.
    pub const fn jump_offset(self) -> Option<i32> {
        match self.class() {
            class::JMP32 if self.op() == jmp::JA => Some(self.imm),
            class::JMP | class::JMP32 if self.op() != jmp::CALL && self.op() != jmp::EXIT => {
                Some(self.off as i32)
            }
            _ => None,
        }
    }

    /// The 64-bit immediate of a wide load whose second slot is `next`.
    pub const fn imm64(self, next: Insn) -> u64 {
        (self.imm as u32 as u64) | ((next.imm as u32 as u64) << 32)
    }

    /// `dst = imm`, 64 bits, sign-extended.
    pub const fn mov64_imm(dst: u8, imm: i32) -> Insn {
        Insn::new(class::ALU64 | alu::MOV | source::K, dst, 0, 0, imm)
    }

    /// `dst = src`, 64 bits.
    pub const fn mov64_reg(dst: u8, src: u8) -> Insn {
        Insn::new(class::ALU64 | alu::MOV | source::X, dst, src, 0, 0)
    }

    /// `w dst = imm`.
    pub const fn mov32_imm(dst: u8, imm: i32) -> Insn {
        Insn::new(class::ALU | alu::MOV | source::K, dst, 0, 0, imm)
    }

    /// `w dst = w src`.
    pub const fn mov32_reg(dst: u8, src: u8) -> Insn {
        Insn::new(class::ALU | alu::MOV | source::X, dst, src, 0, 0)
    }

    /// `dst op= imm`, 64 bits; `op` is one of [`alu`].
    pub const fn alu64_imm(op: u8, dst: u8, imm: i32) -> Insn {
        Insn::new(class::ALU64 | op | source::K, dst, 0, 0, imm)
    }

    /// `dst op= src`, 64 bits; `op` is one of [`alu`].
    pub const fn alu64_reg(op: u8, dst: u8, src: u8) -> Insn {
        Insn::new(class::ALU64 | op | source::X, dst, src, 0, 0)
    }

    /// `w dst op= imm`.
    pub const fn alu32_imm(op: u8, dst: u8, imm: i32) -> Insn {
        Insn::new(class::ALU | op | source::K, dst, 0, 0, imm)
    }

    /// `w dst op= w src`.
    pub const fn alu32_reg(op: u8, dst: u8, src: u8) -> Insn {
        Insn::new(class::ALU | op | source::X, dst, src, 0, 0)
    }

    /// `dst = *(size *)(src + off)`; `size` is one of [`size`].
    pub const fn load(size: u8, dst: u8, src: u8, off: i16) -> Insn {
        Insn::new(class::LDX | mode::MEM | size, dst, src, off, 0)
    }

    /// `*(size *)(dst + off) = src`.
    pub const fn store_reg(size: u8, dst: u8, off: i16, src: u8) -> Insn {
        Insn::new(class::STX | mode::MEM | size, dst, src, off, 0)
    }

    /// `*(size *)(dst + off) = imm`.
    pub const fn store_imm(size: u8, dst: u8, off: i16, imm: i32) -> Insn {
        Insn::new(class::ST | mode::MEM | size, dst, 0, off, imm)
    }

    /// An atomic operation `op` (one of [`atomic`]) on `*(dst + off)`.
    pub const fn atomic(size: u8, op: i32, dst: u8, off: i16, src: u8) -> Insn {
        Insn::new(class::STX | mode::ATOMIC | size, dst, src, off, op)
    }

    /// `goto +off`.
    pub const fn ja(off: i16) -> Insn {
        Insn::new(class::JMP | jmp::JA, 0, 0, off, 0)
    }

    /// `if dst op imm goto +off`, 64 bits; `op` is one of [`jmp`].
    pub const fn jmp64_imm(op: u8, dst: u8, imm: i32, off: i16) -> Insn {
        Insn::new(class::JMP | op | source::K, dst, 0, off, imm)
    }

    /// `if dst op src goto +off`, 64 bits.
    pub const fn jmp64_reg(op: u8, dst: u8, src: u8, off: i16) -> Insn {
        Insn::new(class::JMP | op | source::X, dst, src, off, 0)
    }

    /// `call` of the helper `id`.
    pub const fn call_helper(id: u32) -> Insn {
        Insn::new(class::JMP | jmp::CALL, 0, pseudo::HELPER, 0, id as i32)
    }

    /// `call` of the function that starts `offset` slots after the next one.
    pub const fn call_local(offset: i32) -> Insn {
        Insn::new(class::JMP | jmp::CALL, 0, pseudo::CALL, 0, offset)
    }

    /// `exit`.
    pub const fn exit() -> Insn {
        Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0)
    }

    /// The two slots of a wide load of `value`.
    pub const fn ld_imm64(dst: u8, value: u64) -> [Insn; 2] {
        Insn::ld_imm64_pseudo(dst, 0, value as u32 as i32, (value >> 32) as u32 as i32)
    }

    /// The two slots of a wide load of the kind `src` (one of [`pseudo`]).
    pub const fn ld_imm64_pseudo(dst: u8, src: u8, imm: i32, next_imm: i32) -> [Insn; 2] {
        [
            Insn::new(class::LD | mode::IMM | size::DW, dst, src, 0, imm),
            Insn::new(0, 0, 0, 0, next_imm),
        ]
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Insn {{ code: {:#04x}, dst: {}, src: {}, off: {}, imm: {:#x} }}",
            self.code, self.dst, self.src, self.off, self.imm
        )
    }
}

/// Reads a whole number of instructions. Fails if the bytes end within a slot or a wide load lacks its second slot.
pub fn decode_all(bytes: &[u8], endian: Endian) -> Result<Vec<Insn>, Malformed> {
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed::new(
            "instructions",
            bytes.len() - rest.len(),
            format!("{} bytes are left, an instruction takes 8", rest.len()),
        ));
    }
    let insns: Vec<Insn> = slots
        .iter()
        .map(|slot| Insn::from_bytes(slot, endian))
        .collect();
    let mut at = 0;
    while at < insns.len() {
        if insns[at].is_ld_imm64() {
            match insns.get(at + 1) {
                Some(second) if second.code == 0 => at += 1,
                Some(_) => {
                    return Err(Malformed::new(
                        "instructions",
                        8 * (at + 1),
                        "the second slot of a 64-bit immediate load must have code 0",
                    ));
                }
                None => {
                    return Err(Malformed::new(
                        "instructions",
                        8 * at,
                        "a 64-bit immediate load lacks its second slot",
                    ));
                }
            }
        }
        at += 1;
    }
    Ok(insns)
}

/// Writes instructions one after the other.
pub fn encode_all(insns: &[Insn], endian: Endian) -> Vec<u8> {
    insns
        .iter()
        .flat_map(|insn| insn.to_bytes(endian))
        .collect()
}

#[cfg(test)]
mod tests;
