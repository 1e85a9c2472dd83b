//! An assembler for what the lowering needs of x86-64. Sources: AMD64 Architecture Programmer's Manual, volume 3;
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
//!
//! Invariants: each function appends exactly one instruction; a label is an index into `places` and is bound at most
//! once; jumps to labels are patched by [`Asm::finish`], which fails rather than jump elsewhere.

use crate::jit::pass::Label;

/// A register by its number in encodings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reg(pub u8);

pub(crate) const RAX: Reg = Reg(0);
pub(crate) const RCX: Reg = Reg(1);
pub(crate) const RDX: Reg = Reg(2);
pub(crate) const RBX: Reg = Reg(3);
pub(crate) const RSP: Reg = Reg(4);
pub(crate) const RBP: Reg = Reg(5);
pub(crate) const RSI: Reg = Reg(6);
pub(crate) const RDI: Reg = Reg(7);
pub(crate) const R8: Reg = Reg(8);
pub(crate) const R9: Reg = Reg(9);
pub(crate) const R10: Reg = Reg(10);
pub(crate) const R11: Reg = Reg(11);
pub(crate) const R12: Reg = Reg(12);
pub(crate) const R13: Reg = Reg(13);
pub(crate) const R14: Reg = Reg(14);
pub(crate) const R15: Reg = Reg(15);

/// Width of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    B,
    H,
    W,
    D,
}

/// `[base + (index << shift) + disp]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mem {
    pub base: Option<Reg>,
    pub index: Option<(Reg, u8)>,
    pub disp: i32,
}

impl Mem {
    pub const fn at(base: Reg, disp: i32) -> Mem {
        Mem {
            base: Some(base),
            index: None,
            disp,
        }
    }
}

/// Arithmetic with one code for all its forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts and rotations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Operations of opcode f7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unary {
    Neg = 3,
    Div = 6,
    Idiv = 7,
}

/// Conditions, by their code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cond {
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    S = 8,
    Ns = 9,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cond {
    pub fn negated(self) -> Cond {
        match self {
            Cond::B => Cond::Ae,
            Cond::Ae => Cond::B,
            Cond::E => Cond::Ne,
            Cond::Ne => Cond::E,
            Cond::Be => Cond::A,
            Cond::A => Cond::Be,
            Cond::S => Cond::Ns,
            Cond::Ns => Cond::S,
            Cond::L => Cond::Ge,
            Cond::Ge => Cond::L,
            Cond::Le => Cond::G,
            Cond::G => Cond::Le,
        }
    }
}

const UNBOUND: u32 = u32::MAX;

struct Fixup {
    /// Where the displacement is.
    at: u32,
    label: u32,
    short: bool,
}

/// Why code cannot be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfit {
    /// A short jump does not reach.
    Short,
    /// A near jump does not reach, or leads nowhere.
    Near,
}

/// Code in the making.
pub(crate) struct Asm {
    pub bytes: Vec<u8>,
    /// Offset of each label.
    places: Vec<u32>,
    fixups: Vec<Fixup>,
}

impl Asm {
    /// With `labels` labels to start with.
    pub fn new(labels: usize, bytes: usize) -> Asm {
        Asm {
            bytes: Vec::with_capacity(bytes),
            places: vec![UNBOUND; labels],
            fixups: Vec::new(),
        }
    }

    #[inline(always)]
    pub fn here(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub fn label(&mut self) -> Label {
        self.places.push(UNBOUND);
        Label(self.places.len() as u32 - 1)
    }

    #[inline(always)]
    pub fn bind(&mut self, label: Label) {
        self.places[label.0 as usize] = self.here();
    }

    pub fn place(&self, label: Label) -> Option<u32> {
        let place = self.places[label.0 as usize];
        (place != UNBOUND).then_some(place)
    }

    /// Patches all jumps; answers the code and where the labels are.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<u32>), Unfit> {
        if i32::try_from(self.bytes.len()).is_err() {
            return Err(Unfit::Near);
        }
        for fixup in &self.fixups {
            let place = self.places[fixup.label as usize];
            if place == UNBOUND {
                return Err(Unfit::Near);
            }
            let at = fixup.at as usize;
            if fixup.short {
                let delta = i64::from(place) - (at as i64 + 1);
                let delta = i8::try_from(delta).map_err(|_| Unfit::Short)?;
                self.bytes[at] = delta as u8;
            } else {
                let delta = (i64::from(place) - (at as i64 + 4)) as i32;
                self.bytes[at..at + 4].copy_from_slice(&delta.to_le_bytes());
            }
        }
        Ok((self.bytes, self.places))
    }

    /// The lowest `len` bytes of `word`.
    #[inline(always)]
    fn put(&mut self, word: u64, len: usize) {
        let at = self.bytes.len();
        if self.bytes.capacity() - at < 8 {
            self.bytes.reserve(64);
        }
        // SAFETY: eight bytes fit behind the vector's, as just made sure; of those written, as many as are now counted as
        // its own are initialised (`len` is 8 at most).
        unsafe {
            let end = self.bytes.as_mut_ptr().add(at);
            end.cast::<u64>().write_unaligned(word.to_le());
            self.bytes.set_len(at + len.min(8));
        }
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.put(byte.into(), 1);
    }

    #[inline(always)]
    fn imm32(&mut self, value: i32) {
        self.put(u64::from(value as u32), 4);
    }

    /// Prefixes, opcode (up to three bytes, first in the lowest) and a register operand in r/m.
    #[inline(always)]
    fn op_rr(&mut self, wide: bool, byte_rm: bool, opcode: u32, len: usize, reg: u8, rm: u8) {
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | rm >> 3;
        let needs = rex != 0x40 || byte_rm && rm > 3;
        let mut word = 0u64;
        let mut at = 0;
        if needs {
            word = u64::from(rex);
            at = 8;
        }
        word |= u64::from(opcode) << at;
        at += 8 * len;
        word |= u64::from(0xc0 | (reg & 7) << 3 | rm & 7) << at;
        self.put(word, at / 8 + 1);
    }

    /// The same with a memory operand.
    #[inline(always)]
    fn op_rm(&mut self, wide: bool, byte_reg: bool, opcode: u32, len: usize, reg: u8, mem: Mem) {
        let base = mem.base.map_or(0, |base| base.0);
        let index = mem.index.map_or(0, |(index, _)| index.0);
        let rex = 0x40 | u8::from(wide) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        let mut word = 0u64;
        let mut at = 0;
        if rex != 0x40 || byte_reg && reg > 3 {
            word = u64::from(rex);
            at = 8;
        }
        word |= u64::from(opcode) << at;
        at += 8 * len;
        self.put(word, at / 8);
        self.modrm(reg & 7, mem);
    }

    fn modrm(&mut self, reg: u8, mem: Mem) {
        let reg = reg << 3;
        let Some(base) = mem.base else {
            // No base: SIB with base 101 and mod 00 means disp32 alone.
            let (index, shift) = mem
                .index
                .map_or((4, 0), |(index, shift)| (index.0 & 7, shift));
            self.byte(reg | 4);
            self.byte(shift << 6 | index << 3 | 5);
            self.imm32(mem.disp);
            return;
        };
        let low = base.0 & 7;
        let mode = if mem.disp == 0 && low != 5 {
            0
        } else if i8::try_from(mem.disp).is_ok() {
            1
        } else {
            2
        };
        match mem.index {
            Some((index, shift)) => {
                let sib = shift << 6 | (index.0 & 7) << 3 | low;
                self.put(u64::from(mode << 6 | reg | 4) | u64::from(sib) << 8, 2);
            }
            None if low == 4 => {
                self.put(u64::from(mode << 6 | reg | 4) | 0x24 << 8, 2);
            }
            None => self.byte(mode << 6 | reg | low),
        }
        match mode {
            0 => {}
            1 => self.byte(mem.disp as u8),
            _ => self.imm32(mem.disp),
        }
    }

    pub fn alu_rr(&mut self, op: Alu, wide: bool, dst: Reg, src: Reg) {
        self.op_rr(wide, false, (op as u32) << 3 | 1, 1, src.0, dst.0);
    }

    pub fn alu_rm(&mut self, op: Alu, wide: bool, dst: Reg, src: Mem) {
        self.op_rm(wide, false, (op as u32) << 3 | 3, 1, dst.0, src);
    }

    pub fn alu_mr(&mut self, op: Alu, wide: bool, dst: Mem, src: Reg) {
        self.op_rm(wide, false, (op as u32) << 3 | 1, 1, src.0, dst);
    }

    pub fn alu_ri(&mut self, op: Alu, wide: bool, dst: Reg, imm: i32) {
        if let Ok(imm) = i8::try_from(imm) {
            self.op_rr(wide, false, 0x83, 1, op as u8, dst.0);
            self.byte(imm as u8);
        } else {
            self.op_rr(wide, false, 0x81, 1, op as u8, dst.0);
            self.imm32(imm);
        }
    }

    pub fn alu_mi(&mut self, op: Alu, wide: bool, dst: Mem, imm: i32) {
        if let Ok(imm) = i8::try_from(imm) {
            self.op_rm(wide, false, 0x83, 1, op as u8, dst);
            self.byte(imm as u8);
        } else {
            self.op_rm(wide, false, 0x81, 1, op as u8, dst);
            self.imm32(imm);
        }
    }

    /// Compares the low byte of a register.
    pub fn cmp8_ri(&mut self, dst: Reg, imm: u8) {
        self.op_rr(false, true, 0x80, 1, Alu::Cmp as u8, dst.0);
        self.byte(imm);
    }

    /// Compares a byte in memory.
    pub fn cmp8_mi(&mut self, dst: Mem, imm: u8) {
        self.op_rm(false, false, 0x80, 1, Alu::Cmp as u8, dst);
        self.byte(imm);
    }

    pub fn test_rr(&mut self, wide: bool, left: Reg, right: Reg) {
        self.op_rr(wide, false, 0x85, 1, right.0, left.0);
    }

    pub fn test_ri(&mut self, wide: bool, left: Reg, imm: i32) {
        if (0..=0x7f).contains(&imm) {
            // The rest of both is zero, or not asked for.
            self.op_rr(false, true, 0xf6, 1, 0, left.0);
            self.byte(imm as u8);
        } else {
            self.op_rr(wide, false, 0xf7, 1, 0, left.0);
            self.imm32(imm);
        }
    }

    /// `test` of a byte register with itself.
    pub fn test8_rr(&mut self, reg: Reg) {
        self.op_rr(false, true, 0x84, 1, reg.0, reg.0);
    }

    pub fn mov_rr(&mut self, wide: bool, dst: Reg, src: Reg) {
        self.op_rr(wide, false, 0x89, 1, src.0, dst.0);
    }

    /// The shortest instruction that sets a register without touching flags.
    pub fn mov_ri(&mut self, dst: Reg, value: u64) {
        if let Ok(low) = u32::try_from(value) {
            let mut word = u64::from(0xb8 | dst.0 & 7) | u64::from(low) << 8;
            let mut len = 5;
            if dst.0 > 7 {
                word = word << 8 | 0x41;
                len = 6;
            }
            self.put(word, len);
        } else if let Ok(low) = i32::try_from(value as i64) {
            self.op_rr(true, false, 0xc7, 1, 0, dst.0);
            self.imm32(low);
        } else {
            self.put(
                u64::from(0x48 | dst.0 >> 3) | u64::from(0xb8 | dst.0 & 7) << 8,
                2,
            );
            self.put(value, 8);
        }
    }

    /// Sets a register to 0; changes flags.
    pub fn zero(&mut self, dst: Reg) {
        self.alu_rr(Alu::Xor, false, dst, dst);
    }

    /// A load that extends with zeros to 64 bits.
    pub fn load(&mut self, width: Width, dst: Reg, src: Mem) {
        match width {
            Width::B => self.op_rm(false, false, 0xb60f, 2, dst.0, src),
            Width::H => self.op_rm(false, false, 0xb70f, 2, dst.0, src),
            Width::W => self.op_rm(false, false, 0x8b, 1, dst.0, src),
            Width::D => self.op_rm(true, false, 0x8b, 1, dst.0, src),
        }
    }

    /// A load that extends the sign to 64 bits.
    pub fn load_signed(&mut self, width: Width, dst: Reg, src: Mem) {
        match width {
            Width::B => self.op_rm(true, false, 0xbe0f, 2, dst.0, src),
            Width::H => self.op_rm(true, false, 0xbf0f, 2, dst.0, src),
            Width::W => self.op_rm(true, false, 0x63, 1, dst.0, src),
            Width::D => self.op_rm(true, false, 0x8b, 1, dst.0, src),
        }
    }

    pub fn store(&mut self, width: Width, dst: Mem, src: Reg) {
        match width {
            Width::B => self.op_rm(false, true, 0x88, 1, src.0, dst),
            Width::H => {
                self.byte(0x66);
                self.op_rm(false, false, 0x89, 1, src.0, dst);
            }
            Width::W => self.op_rm(false, false, 0x89, 1, src.0, dst),
            Width::D => self.op_rm(true, false, 0x89, 1, src.0, dst),
        }
    }

    /// Stores an immediate, sign-extended for 8 bytes.
    pub fn store_imm(&mut self, width: Width, dst: Mem, imm: i32) {
        match width {
            Width::B => {
                self.op_rm(false, false, 0xc6, 1, 0, dst);
                self.byte(imm as u8);
            }
            Width::H => {
                self.byte(0x66);
                self.op_rm(false, false, 0xc7, 1, 0, dst);
                self.put(imm as u64, 2);
            }
            Width::W | Width::D => {
                self.op_rm(width == Width::D, false, 0xc7, 1, 0, dst);
                self.imm32(imm);
            }
        }
    }

    pub fn lea(&mut self, wide: bool, dst: Reg, src: Mem) {
        self.op_rm(wide, false, 0x8d, 1, dst.0, src);
    }

    /// The low byte, half or word, extended with zeros to 64 bits.
    pub fn zero_extend(&mut self, width: Width, dst: Reg, src: Reg) {
        match width {
            Width::B => self.op_rr(false, true, 0xb60f, 2, dst.0, src.0),
            Width::H => self.op_rr(false, false, 0xb70f, 2, dst.0, src.0),
            Width::W => self.mov_rr(false, dst, src),
            Width::D => self.mov_rr(true, dst, src),
        }
    }

    /// The low byte, half or word, extended with its sign to 32 or 64 bits.
    pub fn sign_extend(&mut self, wide: bool, width: Width, dst: Reg, src: Reg) {
        match width {
            Width::B => self.op_rr(wide, true, 0xbe0f, 2, dst.0, src.0),
            Width::H => self.op_rr(wide, false, 0xbf0f, 2, dst.0, src.0),
            Width::W if wide => self.op_rr(true, false, 0x63, 1, dst.0, src.0),
            Width::W | Width::D => self.mov_rr(wide, dst, src),
        }
    }

    pub fn shift_ri(&mut self, op: Shift, wide: bool, dst: Reg, by: u8) {
        if by == 1 {
            self.op_rr(wide, false, 0xd1, 1, op as u8, dst.0);
        } else {
            self.op_rr(wide, false, 0xc1, 1, op as u8, dst.0);
            self.byte(by);
        }
    }

    /// Shifts by cl.
    pub fn shift_cl(&mut self, op: Shift, wide: bool, dst: Reg) {
        self.op_rr(wide, false, 0xd3, 1, op as u8, dst.0);
    }

    /// Rotates the low half of a register by 8: swaps its two bytes.
    pub fn swap16(&mut self, dst: Reg) {
        self.byte(0x66);
        self.op_rr(false, false, 0xc1, 1, Shift::Rol as u8, dst.0);
        self.byte(8);
    }

    fn vex3(&mut self, map: u8, wide: bool, pp: u8, reg: Reg, vvvv: u8, rm: Reg) {
        // R, X and B are inverted; L is 0.
        let first = (!reg.0 >> 3 & 1) << 7 | 1 << 6 | (!rm.0 >> 3 & 1) << 5 | map;
        let second = u8::from(wide) << 7 | (!vvvv & 15) << 3 | pp;
        self.put(u64::from_le_bytes([0xc4, first, second, 0, 0, 0, 0, 0]), 3);
    }

    /// BMI2: `dst = src << count` and so on.
    pub fn shift_x(&mut self, op: Shift, wide: bool, dst: Reg, src: Reg, count: Reg) {
        let pp = match op {
            Shift::Shl => 1,
            Shift::Sar => 2,
            _ => 3,
        };
        self.vex3(2, wide, pp, dst, count.0, src);
        self.byte(0xf7);
        self.byte(0xc0 | (dst.0 & 7) << 3 | src.0 & 7);
    }

    /// BMI2: `dst = src` rotated right.
    pub fn rorx(&mut self, wide: bool, dst: Reg, src: Reg, by: u8) {
        self.vex3(3, wide, 3, dst, 0, src);
        self.byte(0xf0);
        self.byte(0xc0 | (dst.0 & 7) << 3 | src.0 & 7);
        self.byte(by);
    }

    pub fn imul_rr(&mut self, wide: bool, dst: Reg, src: Reg) {
        self.op_rr(wide, false, 0xaf0f, 2, dst.0, src.0);
    }

    pub fn imul_rri(&mut self, wide: bool, dst: Reg, src: Reg, imm: i32) {
        if let Ok(imm) = i8::try_from(imm) {
            self.op_rr(wide, false, 0x6b, 1, dst.0, src.0);
            self.byte(imm as u8);
        } else {
            self.op_rr(wide, false, 0x69, 1, dst.0, src.0);
            self.imm32(imm);
        }
    }

    pub fn unary(&mut self, op: Unary, wide: bool, dst: Reg) {
        self.op_rr(wide, false, 0xf7, 1, op as u8, dst.0);
    }

    /// Extends the sign of rax into rdx.
    pub fn cqo(&mut self, wide: bool) {
        if wide {
            self.byte(0x48);
        }
        self.byte(0x99);
    }

    pub fn bswap(&mut self, wide: bool, dst: Reg) {
        let rex = 0x40 | u8::from(wide) << 3 | dst.0 >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
        self.put(0x0f | u64::from(0xc8 | dst.0 & 7) << 8, 2);
    }

    /// Sets a byte register to 0 or 1.
    pub fn set(&mut self, cond: Cond, dst: Reg) {
        self.op_rr(false, true, 0x900f | (cond as u32) << 8, 2, 0, dst.0);
    }

    pub fn cmov(&mut self, cond: Cond, wide: bool, dst: Reg, src: Reg) {
        self.op_rr(wide, false, 0x400f | (cond as u32) << 8, 2, dst.0, src.0);
    }

    pub fn push(&mut self, reg: Reg) {
        if reg.0 > 7 {
            self.byte(0x41);
        }
        self.byte(0x50 | reg.0 & 7);
    }

    pub fn pop(&mut self, reg: Reg) {
        if reg.0 > 7 {
            self.byte(0x41);
        }
        self.byte(0x58 | reg.0 & 7);
    }

    pub fn push_m(&mut self, mem: Mem) {
        self.op_rm(false, false, 0xff, 1, 6, mem);
    }

    pub fn pop_m(&mut self, mem: Mem) {
        self.op_rm(false, false, 0x8f, 1, 0, mem);
    }

    pub fn dec_m(&mut self, wide: bool, mem: Mem) {
        self.op_rm(wide, false, 0xff, 1, 1, mem);
    }

    pub fn ret(&mut self) {
        self.byte(0xc3);
    }

    /// An instruction that is none.
    pub fn trap(&mut self) {
        self.put(0x0b0f, 2);
    }

    pub fn jmp_r(&mut self, to: Reg) {
        self.op_rr(false, false, 0xff, 1, 4, to.0);
    }

    pub fn call_r(&mut self, to: Reg) {
        self.op_rr(false, false, 0xff, 1, 2, to.0);
    }

    fn displacement(&mut self, label: Label, short: bool) {
        self.fixups.push(Fixup {
            at: self.here(),
            label: label.0,
            short,
        });
        if short {
            self.byte(0);
        } else {
            self.imm32(0);
        }
    }

    /// The distance to a bound label from the end of an instruction of `len` bytes that starts here.
    fn back(&self, label: Label, len: u32) -> Option<i64> {
        let place = self.place(label)?;
        Some(i64::from(place) - i64::from(self.here() + len))
    }

    /// `short` says that the label is surely near; one behind is measured.
    pub fn jmp(&mut self, label: Label, short: bool) {
        if let Some(delta) = self.back(label, 2)
            && let Ok(delta) = i8::try_from(delta)
        {
            self.put(0xeb | u64::from(delta as u8) << 8, 2);
        } else {
            let short = short && self.place(label).is_none();
            self.byte(if short { 0xeb } else { 0xe9 });
            self.displacement(label, short);
        }
    }

    pub fn jcc(&mut self, cond: Cond, label: Label, short: bool) {
        if let Some(delta) = self.back(label, 2)
            && let Ok(delta) = i8::try_from(delta)
        {
            self.put(
                u64::from(0x70 | cond as u8) | u64::from(delta as u8) << 8,
                2,
            );
        } else if short && self.place(label).is_none() {
            self.byte(0x70 | cond as u8);
            self.displacement(label, true);
        } else {
            self.put(0x800f | u64::from(cond as u8) << 8, 2);
            self.displacement(label, false);
        }
    }

    pub fn call(&mut self, label: Label) {
        self.byte(0xe8);
        self.displacement(label, false);
    }

    /// `lock` and the operation on memory.
    pub fn lock_alu_mr(&mut self, op: Alu, wide: bool, dst: Mem, src: Reg) {
        self.byte(0xf0);
        self.alu_mr(op, wide, dst, src);
    }

    pub fn lock_xadd(&mut self, wide: bool, dst: Mem, src: Reg) {
        self.byte(0xf0);
        self.op_rm(wide, false, 0xc10f, 2, src.0, dst);
    }

    /// Locked by itself.
    pub fn xchg(&mut self, width: Width, dst: Mem, src: Reg) {
        match width {
            Width::B => self.op_rm(false, true, 0x86, 1, src.0, dst),
            Width::H => {
                self.byte(0x66);
                self.op_rm(false, false, 0x87, 1, src.0, dst);
            }
            Width::W => self.op_rm(false, false, 0x87, 1, src.0, dst),
            Width::D => self.op_rm(true, false, 0x87, 1, src.0, dst),
        }
    }

    pub fn lock_cmpxchg(&mut self, wide: bool, dst: Mem, src: Reg) {
        self.byte(0xf0);
        self.op_rm(wide, false, 0xb10f, 2, src.0, dst);
    }

    /// Clears xmm0.
    pub fn zero_xmm0(&mut self) {
        self.put(0xc0_570f, 3);
    }

    /// Stores the 16 bytes of xmm0.
    pub fn store_xmm0(&mut self, dst: Mem) {
        self.op_rm(false, false, 0x110f, 2, 0, dst);
    }

    /// Instructions that do nothing, `len` bytes of them.
    pub fn nops(&mut self, mut len: usize) {
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        while len > 0 {
            let step = len.min(9);
            self.bytes.extend_from_slice(NOPS[step - 1]);
            len -= step;
        }
    }
}
