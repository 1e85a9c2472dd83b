//! A64 instructions as words: one function a form, named as the manual names them.
//!
//! Source: Arm Architecture Reference Manual for A-profile, chapter C6 (base instructions, FEAT_LSE).
//! Invariants: every function appends exactly the words that its comment says (one, where it says nothing); operands that
//! do not fit a form are cut to its fields, never spilled into neighbours, so callers ask the `fits` functions first.

#![allow(
    dead_code,
    reason = "forms are here by families, of which the lowering takes what it needs"
)]

pub(crate) mod immediate;
pub(crate) mod label;

use immediate::{Logical, Wide};
use label::Labels;

/// A general register; 31 is the zero register or the stack pointer, as the instruction has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reg(pub u8);

/// Reads as zero, swallows what is written.
pub(crate) const ZR: Reg = Reg(31);
/// The stack pointer: as a base, and in additions of an immediate.
pub(crate) const SP: Reg = Reg(31);
/// The link register.
pub(crate) const LR: Reg = Reg(30);

/// How much of a register counts; a 32-bit result clears the upper half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    W,
    X,
}

impl Width {
    pub fn bits(self) -> u32 {
        match self {
            Width::W => 32,
            Width::X => 64,
        }
    }

    fn sf(self) -> u32 {
        (self as u32) << 31
    }
}

/// Bytes of a memory access, as a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    B,
    H,
    W,
    D,
}

impl Size {
    fn field(self) -> u32 {
        (self as u32) << 30
    }
}

/// What a condition asks of the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[rustfmt::skip]
pub(crate) enum Cond { Eq, Ne, Hs, Lo, Mi, Pl, Vs, Vc, Hi, Ls, Ge, Lt, Gt, Le }

impl Cond {
    pub fn inverted(self) -> Cond {
        use Cond::*;
        match self {
            Eq => Ne,
            Ne => Eq,
            Hs => Lo,
            Lo => Hs,
            Mi => Pl,
            Pl => Mi,
            Vs => Vc,
            Vc => Vs,
            Hi => Ls,
            Ls => Hi,
            Ge => Lt,
            Lt => Ge,
            Gt => Le,
            Le => Gt,
        }
    }
}

/// How the second operand of an arithmetic or logical instruction is shifted. `Ror` is for logical ones only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Lsl,
    Lsr,
    Asr,
    Ror,
}

/// How the second operand of an addition is extended, before a shift by up to 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[rustfmt::skip]
pub(crate) enum Extend { Uxtb, Uxth, Uxtw, Uxtx, Sxtb, Sxth, Sxtw, Sxtx }

/// Additions: the word of the 32-bit shifted-register form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add = 0x0b00_0000,
    Adds = 0x2b00_0000,
    Sub = 0x4b00_0000,
    Subs = 0x6b00_0000,
}

/// Logical operations: the word of the 32-bit shifted-register form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Logic {
    And = 0x0a00_0000,
    Orr = 0x2a00_0000,
    Eor = 0x4a00_0000,
    Ands = 0x6a00_0000,
}

/// Operations on two registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Two {
    Udiv = 0x1ac0_0800,
    Sdiv = 0x1ac0_0c00,
    Lslv = 0x1ac0_2000,
    Lsrv = 0x1ac0_2400,
    Asrv = 0x1ac0_2800,
    Rorv = 0x1ac0_2c00,
}

/// Byte and bit orders. `Rev32` exists for 64-bit registers only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum One {
    Rbit,
    Rev16,
    Rev32,
    Rev,
    Clz,
}

/// Conditional selections: what becomes of the second operand when the condition does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Select {
    /// Itself.
    Csel = 0x1a80_0000,
    /// Plus one.
    Csinc = 0x1a80_0400,
    /// All bits flipped.
    Csinv = 0x5a80_0000,
    /// Negated.
    Csneg = 0x5a80_0400,
}

/// Loads and stores: what a load makes of the bytes it brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Store = 0,
    /// Zero-extended.
    Load = 1,
    /// Sign-extended to 64 bits.
    LoadSigned = 2,
}

/// One atomic read-modify-write of FEAT_LSE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Atomic {
    Add = 0x3820_0000,
    /// Clears the bits that are set in the operand.
    Clr = 0x3820_1000,
    Eor = 0x3820_2000,
    Set = 0x3820_3000,
    Swp = 0x3820_8000,
}

/// Code in the making.
#[derive(Default)]
pub(crate) struct Asm {
    words: Vec<u32>,
    labels: Labels,
}

fn rd(reg: Reg) -> u32 {
    u32::from(reg.0 & 31)
}

fn rn(reg: Reg) -> u32 {
    rd(reg) << 5
}

fn rm(reg: Reg) -> u32 {
    rd(reg) << 16
}

/// Whether an addition takes this as its immediate: 12 bits, or 12 bits shifted by 12.
pub(crate) fn fits_add(value: u64) -> bool {
    value < 1 << 12 || (value & 0xfff == 0 && value < 1 << 24)
}

/// Whether a load or store has a form with this offset.
pub(crate) fn fits_offset(size: Size, offset: i32) -> bool {
    let scale = size as u32;
    (-256..256).contains(&offset)
        || (offset >= 0 && offset & ((1 << scale) - 1) == 0 && offset >> scale < 1 << 12)
}

/// Whether a pair of 64-bit registers has a form with this offset.
pub(crate) fn fits_pair(offset: i32) -> bool {
    offset & 7 == 0 && (-512..512).contains(&offset)
}

impl Asm {
    /// With so many labels from the start, and room for about so many words.
    pub fn new(labels: usize, words: usize) -> Asm {
        Asm {
            words: Vec::with_capacity(words),
            labels: Labels::new(labels),
        }
    }

    fn emit(&mut self, word: u32) {
        self.words.push(word);
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        4 * self.words.len()
    }

    // Arithmetic.

    pub fn arith(&mut self, op: Arith, width: Width, d: Reg, n: Reg, m: Reg) {
        self.arith_shifted(op, width, d, n, m, Shift::Lsl, 0);
    }

    /// `m` is shifted by `amount`, less than the width, first. Not `Ror`.
    #[allow(clippy::too_many_arguments)]
    pub fn arith_shifted(
        &mut self,
        op: Arith,
        width: Width,
        d: Reg,
        n: Reg,
        m: Reg,
        shift: Shift,
        amount: u32,
    ) {
        let shift = (shift as u32) << 22 | (amount & 63) << 10;
        self.emit(op as u32 | width.sf() | shift | rm(m) | rn(n) | rd(d));
    }

    /// `m` is extended and shifted left by `amount`, up to 4, first; `n` and `d` (without flags) may be [`SP`].
    #[allow(clippy::too_many_arguments)]
    pub fn arith_extended(
        &mut self,
        op: Arith,
        width: Width,
        d: Reg,
        n: Reg,
        m: Reg,
        extend: Extend,
        amount: u32,
    ) {
        let extend = 1 << 21 | (extend as u32) << 13 | (amount & 7) << 10;
        self.emit(op as u32 | width.sf() | extend | rm(m) | rn(n) | rd(d));
    }

    /// The immediate is one that [`fits_add`]; `n` and `d` (without flags) may be [`SP`].
    pub fn arith_imm(&mut self, op: Arith, width: Width, d: Reg, n: Reg, value: u64) {
        let field = if value < 1 << 12 {
            (value as u32) << 10
        } else {
            1 << 22 | (value as u32 >> 12 & 0xfff) << 10
        };
        // From the register form to the immediate one.
        self.emit((op as u32 ^ 0x1a00_0000) | width.sf() | field | rn(n) | rd(d));
    }

    pub fn neg(&mut self, width: Width, d: Reg, m: Reg) {
        self.arith(Arith::Sub, width, d, ZR, m);
    }

    pub fn cmp(&mut self, width: Width, n: Reg, m: Reg) {
        self.arith(Arith::Subs, width, ZR, n, m);
    }

    /// The immediate is one that [`fits_add`].
    pub fn cmp_imm(&mut self, width: Width, n: Reg, value: u64) {
        self.arith_imm(Arith::Subs, width, ZR, n, value);
    }

    /// Compares with the negated immediate, one that [`fits_add`].
    pub fn cmn_imm(&mut self, width: Width, n: Reg, value: u64) {
        self.arith_imm(Arith::Adds, width, ZR, n, value);
    }

    /// If the condition holds, compares; else sets the flags N, Z, C, V to the low four bits of `flags`.
    pub fn ccmp(&mut self, width: Width, n: Reg, m: Reg, flags: u32, cond: Cond) {
        self.emit(0x7a40_0000 | width.sf() | rm(m) | (cond as u32) << 12 | rn(n) | (flags & 15));
    }

    // Logic.

    pub fn logic(&mut self, op: Logic, width: Width, d: Reg, n: Reg, m: Reg) {
        self.logic_shifted(op, width, d, n, m, Shift::Lsl, 0);
    }

    /// `m` is shifted by `amount`, less than the width, first.
    #[allow(clippy::too_many_arguments)]
    pub fn logic_shifted(
        &mut self,
        op: Logic,
        width: Width,
        d: Reg,
        n: Reg,
        m: Reg,
        shift: Shift,
        amount: u32,
    ) {
        let shift = (shift as u32) << 22 | (amount & 63) << 10;
        self.emit(op as u32 | width.sf() | shift | rm(m) | rn(n) | rd(d));
    }

    /// With all bits of `m` flipped: `bic`, `orn`, `eon`, `bics`.
    pub fn logic_not(&mut self, op: Logic, width: Width, d: Reg, n: Reg, m: Reg) {
        self.emit(op as u32 | width.sf() | 1 << 21 | rm(m) | rn(n) | rd(d));
    }

    pub fn logic_imm(&mut self, op: Logic, width: Width, d: Reg, n: Reg, value: Logical) {
        // From the register form to the immediate one.
        self.emit((op as u32 ^ 0x1800_0000) | width.sf() | value.field() << 10 | rn(n) | rd(d));
    }

    pub fn tst(&mut self, width: Width, n: Reg, m: Reg) {
        self.logic(Logic::Ands, width, ZR, n, m);
    }

    // Moves.

    pub fn mov(&mut self, width: Width, d: Reg, m: Reg) {
        self.logic(Logic::Orr, width, d, ZR, m);
    }

    /// A number: one to four words.
    pub fn mov_imm(&mut self, d: Reg, value: u64) {
        match immediate::wide(value) {
            Wide::Logical(value) => self.logic_imm(Logic::Orr, Width::X, d, ZR, value),
            Wide::Parts { width, ones } => {
                let skip = if ones { 0xffff } else { 0 };
                let mut first = true;
                for at in 0..width.bits() / 16 {
                    let part = (value >> (16 * at)) as u32 & 0xffff;
                    if part == skip {
                        continue;
                    }
                    let (word, part) = match (first, ones) {
                        (true, false) => (0x5280_0000, part),
                        (true, true) => (0x1280_0000, part ^ 0xffff),
                        (false, _) => (0x7280_0000, part),
                    };
                    first = false;
                    self.emit(word | width.sf() | at << 21 | part << 5 | rd(d));
                }
                if first {
                    // All parts are the ones to skip.
                    let word = if ones { 0x1280_0000 } else { 0x5280_0000 };
                    self.emit(word | width.sf() | rd(d));
                }
            }
        }
    }

    // Bit fields.

    /// `d = n << amount`, for an amount below the width.
    pub fn lsl(&mut self, width: Width, d: Reg, n: Reg, amount: u32) {
        let bits = width.bits();
        self.ubfm(
            width,
            d,
            n,
            bits.wrapping_sub(amount) % bits,
            bits - 1 - amount % bits,
        );
    }

    /// `d = n >> amount`, for an amount below the width.
    pub fn lsr(&mut self, width: Width, d: Reg, n: Reg, amount: u32) {
        self.ubfm(width, d, n, amount, width.bits() - 1);
    }

    /// `d = n >> amount` with the sign, for an amount below the width.
    pub fn asr(&mut self, width: Width, d: Reg, n: Reg, amount: u32) {
        self.sbfm(width, d, n, amount, width.bits() - 1);
    }

    /// `count` bits of `n` from bit `from`, zero-extended; `from + count` is at most the width.
    pub fn ubfx(&mut self, width: Width, d: Reg, n: Reg, from: u32, count: u32) {
        self.ubfm(width, d, n, from, from + count - 1);
    }

    /// `count` bits of `n` from bit `from`, sign-extended; `from + count` is at most the width.
    pub fn sbfx(&mut self, width: Width, d: Reg, n: Reg, from: u32, count: u32) {
        self.sbfm(width, d, n, from, from + count - 1);
    }

    /// The low `count` bits of `n`, zero-extended, at bit `to`, which is not 0.
    pub fn ubfiz(&mut self, width: Width, d: Reg, n: Reg, to: u32, count: u32) {
        let bits = width.bits();
        self.ubfm(width, d, n, bits.wrapping_sub(to) % bits, count - 1);
    }

    /// The low `count` bits of `n`, sign-extended, at bit `to`, which is not 0.
    pub fn sbfiz(&mut self, width: Width, d: Reg, n: Reg, to: u32, count: u32) {
        let bits = width.bits();
        self.sbfm(width, d, n, bits.wrapping_sub(to) % bits, count - 1);
    }

    fn ubfm(&mut self, width: Width, d: Reg, n: Reg, immr: u32, imms: u32) {
        self.bitfield(0x5300_0000, width, d, n, immr, imms);
    }

    fn sbfm(&mut self, width: Width, d: Reg, n: Reg, immr: u32, imms: u32) {
        self.bitfield(0x1300_0000, width, d, n, immr, imms);
    }

    fn bitfield(&mut self, word: u32, width: Width, d: Reg, n: Reg, immr: u32, imms: u32) {
        let fields = (width as u32) << 22 | (immr & 63) << 16 | (imms & 63) << 10;
        self.emit(word | width.sf() | fields | rn(n) | rd(d));
    }

    /// The bits from `lsb` on of `n:m`; with `n == m` a rotation to the right.
    pub fn extr(&mut self, width: Width, d: Reg, n: Reg, m: Reg, lsb: u32) {
        let fields = (width as u32) << 22 | (lsb & 63) << 10;
        self.emit(0x1380_0000 | width.sf() | fields | rm(m) | rn(n) | rd(d));
    }

    // Operations on registers.

    pub fn two(&mut self, op: Two, width: Width, d: Reg, n: Reg, m: Reg) {
        self.emit(op as u32 | width.sf() | rm(m) | rn(n) | rd(d));
    }

    pub fn one(&mut self, op: One, width: Width, d: Reg, n: Reg) {
        let opcode = match (op, width) {
            (One::Rbit, _) => 0,
            (One::Rev16, _) => 1,
            (One::Rev32, _) | (One::Rev, Width::W) => 2,
            (One::Rev, Width::X) => 3,
            (One::Clz, _) => 4,
        };
        self.emit(0x5ac0_0000 | width.sf() | opcode << 10 | rn(n) | rd(d));
    }

    /// `d = a + n * m`.
    pub fn madd(&mut self, width: Width, d: Reg, n: Reg, m: Reg, a: Reg) {
        self.emit(0x1b00_0000 | width.sf() | rm(m) | rd(a) << 10 | rn(n) | rd(d));
    }

    /// `d = a - n * m`.
    pub fn msub(&mut self, width: Width, d: Reg, n: Reg, m: Reg, a: Reg) {
        self.emit(0x1b00_8000 | width.sf() | rm(m) | rd(a) << 10 | rn(n) | rd(d));
    }

    pub fn mul(&mut self, width: Width, d: Reg, n: Reg, m: Reg) {
        self.madd(width, d, n, m, ZR);
    }

    /// The upper half of the 128-bit product.
    pub fn umulh(&mut self, d: Reg, n: Reg, m: Reg) {
        self.emit(0x9bc0_7c00 | rm(m) | rn(n) | rd(d));
    }

    /// `n` if the condition holds, else what `op` makes of `m`.
    pub fn select(&mut self, op: Select, width: Width, d: Reg, n: Reg, m: Reg, cond: Cond) {
        self.emit(op as u32 | width.sf() | rm(m) | (cond as u32) << 12 | rn(n) | rd(d));
    }

    /// 1 if the condition holds, else 0.
    pub fn cset(&mut self, width: Width, d: Reg, cond: Cond) {
        self.select(Select::Csinc, width, d, ZR, ZR, cond.inverted());
    }

    // Memory.

    /// The offset is one that [`fits_offset`].
    pub fn memory(&mut self, access: Access, size: Size, t: Reg, base: Reg, offset: i32) {
        let word = 0x3800_0000 | size.field() | (access as u32) << 22 | rn(base) | rd(t);
        let scale = size as u32;
        if offset >= 0 && offset & ((1 << scale) - 1) == 0 {
            self.emit(word | 1 << 24 | (offset as u32 >> scale & 0xfff) << 10);
        } else {
            self.emit(word | (offset as u32 & 0x1ff) << 12);
        }
    }

    /// At `base + index`, the index extended (`Uxtw`, `Sxtw` or `Uxtx`) and, if `scaled`, multiplied by the access's bytes.
    #[allow(clippy::too_many_arguments)]
    pub fn memory_indexed(
        &mut self,
        access: Access,
        size: Size,
        t: Reg,
        base: Reg,
        index: Reg,
        extend: Extend,
        scaled: bool,
    ) {
        let how = (extend as u32) << 13 | u32::from(scaled) << 12;
        self.emit(
            0x3820_0800 | size.field() | (access as u32) << 22 | how | rm(index) | rn(base) | rd(t),
        );
    }

    /// A 64-bit load or store at `base`, which moves by `step` (-256 to 255) before it.
    pub fn memory_pre(&mut self, access: Access, t: Reg, base: Reg, step: i32) {
        let word = 0xf800_0c00 | (access as u32 & 1) << 22;
        self.emit(word | (step as u32 & 0x1ff) << 12 | rn(base) | rd(t));
    }

    /// A 64-bit load or store at `base`, which moves by `step` (-256 to 255) after it.
    pub fn memory_post(&mut self, access: Access, t: Reg, base: Reg, step: i32) {
        let word = 0xf800_0400 | (access as u32 & 1) << 22;
        self.emit(word | (step as u32 & 0x1ff) << 12 | rn(base) | rd(t));
    }

    /// Two 64-bit registers at an offset that [`fits_pair`].
    pub fn pair(&mut self, access: Access, t: Reg, u: Reg, base: Reg, offset: i32) {
        self.pairs(0xa900_0000, access, t, u, base, offset);
    }

    /// The same at `base`, which moves by `step` before it.
    pub fn pair_pre(&mut self, access: Access, t: Reg, u: Reg, base: Reg, step: i32) {
        self.pairs(0xa980_0000, access, t, u, base, step);
    }

    /// The same at `base`, which moves by `step` after it.
    pub fn pair_post(&mut self, access: Access, t: Reg, u: Reg, base: Reg, step: i32) {
        self.pairs(0xa880_0000, access, t, u, base, step);
    }

    fn pairs(&mut self, word: u32, access: Access, t: Reg, u: Reg, base: Reg, offset: i32) {
        let offset = (offset as u32 >> 3 & 0x7f) << 15;
        self.emit(word | (access as u32 & 1) << 22 | offset | rd(u) << 10 | rn(base) | rd(t));
    }

    // Atomics.

    /// Load with acquire.
    pub fn ldar(&mut self, size: Size, t: Reg, base: Reg) {
        self.emit(0x08df_fc00 | size.field() | rn(base) | rd(t));
    }

    /// Store with release.
    pub fn stlr(&mut self, size: Size, t: Reg, base: Reg) {
        self.emit(0x089f_fc00 | size.field() | rn(base) | rd(t));
    }

    /// Exclusive load, with acquire if `ordered`.
    pub fn ldxr(&mut self, size: Size, t: Reg, base: Reg, ordered: bool) {
        self.emit(0x085f_7c00 | u32::from(ordered) << 15 | size.field() | rn(base) | rd(t));
    }

    /// Exclusive store, with release if `ordered`; `failed` is 0 if it was made.
    pub fn stxr(&mut self, size: Size, failed: Reg, t: Reg, base: Reg, ordered: bool) {
        let word = 0x0800_7c00 | u32::from(ordered) << 15 | size.field();
        self.emit(word | rm(failed) | rn(base) | rd(t));
    }

    /// FEAT_LSE: `t` gets the old value ([`ZR`]: nobody needs it), with acquire and release if `ordered`.
    pub fn atomic(&mut self, op: Atomic, size: Size, s: Reg, t: Reg, base: Reg, ordered: bool) {
        let order = if ordered { 3 << 22 } else { 0 };
        self.emit(op as u32 | size.field() | order | rm(s) | rn(base) | rd(t));
    }

    /// FEAT_LSE: if memory holds `s`, it becomes `t`; `s` gets the old value. With acquire and release.
    pub fn casal(&mut self, size: Size, s: Reg, t: Reg, base: Reg) {
        self.emit(0x08e0_fc00 | size.field() | rm(s) | rn(base) | rd(t));
    }

    /// Orders all memory accesses before it with all behind it.
    pub fn dmb_ish(&mut self) {
        self.emit(0xd503_3bbf);
    }

    // Control, without labels.

    pub fn br(&mut self, n: Reg) {
        self.emit(0xd61f_0000 | rn(n));
    }

    pub fn blr(&mut self, n: Reg) {
        self.emit(0xd63f_0000 | rn(n));
    }

    pub fn ret(&mut self) {
        self.emit(0xd65f_0000 | rn(LR));
    }

    pub fn brk(&mut self, value: u16) {
        self.emit(0xd420_0000 | u32::from(value) << 5);
    }

    pub fn nop(&mut self) {
        self.emit(0xd503_201f);
    }
}

#[cfg(test)]
pub(super) mod tests;
