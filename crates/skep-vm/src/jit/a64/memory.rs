//! Loads, stores and atomic operations: proven ones as they are, others behind a look at the first window.

use crate::decode::{Code, Op};
use crate::jit::run::at;
use crate::jit::value::{NONE, Value};

use super::cold::Cold;
use super::encode::immediate::Logical;
use super::encode::{
    Access, Arith, Asm, Atomic, Cond, Extend, Logic, Reg, Shift, Size, Width, ZR, fits_offset,
    fits_pair,
};
use super::gate::Gate;
use super::home::{ADDRESS, HOME, LIMIT, OPERAND, PC, RUN, STEP, STORED, WINDOWS};
use super::lower::Lower;
use crate::jit::pass::Label;

/// The address of an access, made of homes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    At(Reg, i32),
    Sum {
        base: Reg,
        index: Reg,
        shift: u8,
        disp: i32,
    },
    Number(u64),
}

/// The size of an access by its place in a family of four.
fn size(index: u8) -> Size {
    [Size::B, Size::H, Size::W, Size::D][index as usize & 3]
}

/// Where in a family of loads a code is: the size, and whether it extends a sign.
fn load_shape(code: Code, first: Code) -> (Size, bool) {
    let index = code as u8 - first as u8;
    if index < 4 {
        (size(index), false)
    } else {
        (size(index - 4), true)
    }
}

/// Bits that a load gives.
fn loaded_bits(size: Size, signed: bool) -> u8 {
    if signed { 64 } else { 8 << size as u8 }
}

fn access(signed: bool) -> Access {
    if signed {
        Access::LoadSigned
    } else {
        Access::Load
    }
}

impl Asm {
    /// A field of the run or around it, of eight bytes unless told otherwise. Changes x17 if it is far.
    pub fn field(&mut self, access: Access, size: Size, t: Reg, field: i32) {
        if fits_offset(size, field) {
            return self.memory(access, size, t, RUN, field);
        }
        let near = field - at::READABLE;
        if fits_offset(size, near) {
            return self.memory(access, size, t, WINDOWS, near);
        }
        self.mov_imm(STEP, field as i64 as u64);
        self.memory_indexed(access, size, t, RUN, STEP, Extend::Uxtx, false);
    }

    pub fn load_field(&mut self, t: Reg, field: i32) {
        self.field(Access::Load, Size::D, t, field);
    }

    pub fn store_field(&mut self, t: Reg, field: i32) {
        self.field(Access::Store, Size::D, t, field);
    }
}

impl Lower<'_> {
    /// The address that is a register's value plus `off`; nothing if the value must be in its home first.
    fn address(&self, register: u8, off: i32) -> Option<Address> {
        let once = self.live >> register & 1 == 0;
        match self.values.of[register as usize] {
            Value::Home => Some(Address::At(HOME[register as usize], off)),
            Value::Sum {
                base,
                index: NONE,
                disp,
                narrow: false,
                ..
            } => Some(Address::At(HOME[base as usize], disp.checked_add(off)?)),
            Value::Sum {
                base,
                index,
                shift,
                disp,
                narrow: false,
            } if once || disp.checked_add(off) == Some(0) => Some(Address::Sum {
                base: HOME[base as usize],
                index: HOME[index as usize],
                shift,
                disp: disp.checked_add(off)?,
            }),
            Value::Const(value) if once => {
                Some(Address::Number(value.wrapping_add(off as i64 as u64)))
            }
            _ => None,
        }
    }

    fn ready_address(&mut self, register: u8, off: i32) -> Address {
        match self.address(register, off) {
            Some(address) => address,
            None => Address::At(self.home(register), off),
        }
    }

    /// A load or store at an address. Changes x16.
    fn access(&mut self, access: Access, size: Size, t: Reg, address: Address) {
        match address {
            Address::At(base, off) if fits_offset(size, off) => {
                self.asm.memory(access, size, t, base, off);
            }
            Address::At(base, off) => {
                self.asm.mov_imm(ADDRESS, off as i64 as u64);
                self.asm
                    .memory_indexed(access, size, t, base, ADDRESS, Extend::Uxtx, false);
            }
            Address::Sum {
                base,
                index,
                shift,
                disp: 0,
            } if shift == 0 || shift == size as u8 => {
                self.asm
                    .memory_indexed(access, size, t, base, index, Extend::Uxtx, shift != 0);
            }
            Address::Sum {
                base,
                index,
                shift,
                disp,
            } if fits_offset(size, disp) => {
                let op = Arith::Add;
                self.asm.arith_shifted(
                    op,
                    Width::X,
                    ADDRESS,
                    base,
                    index,
                    Shift::Lsl,
                    shift.into(),
                );
                self.asm.memory(access, size, t, ADDRESS, disp);
            }
            _ => {
                let at = self.address_in(address);
                self.asm.memory(access, size, t, at, 0);
            }
        }
    }

    /// The register that holds an address: a home, or x16.
    fn address_in(&mut self, address: Address) -> Reg {
        match address {
            Address::At(base, 0) => return base,
            Address::At(base, off) => {
                self.asm.add_number(Width::X, ADDRESS, base, off.into());
            }
            Address::Sum {
                base,
                index,
                shift,
                disp,
            } => {
                let op = Arith::Add;
                self.asm.arith_shifted(
                    op,
                    Width::X,
                    ADDRESS,
                    base,
                    index,
                    Shift::Lsl,
                    shift.into(),
                );
                if disp != 0 {
                    self.asm.add_number(Width::X, ADDRESS, ADDRESS, disp.into());
                }
            }
            Address::Number(value) => self.asm.mov_imm(ADDRESS, value),
        }
        ADDRESS
    }

    /// Answers how many operations after it are done with it.
    pub fn load_raw(&mut self, op: &Op, _next: usize) -> usize {
        let (size, signed) = load_shape(op.code, Code::LdRawB);
        self.define(op.dst);
        let address = self.ready_address(op.src, op.off);
        self.access(access(signed), size, HOME[op.dst as usize], address);
        self.wrote(op.dst, loaded_bits(size, signed));
        0
    }

    /// Jumps if the window does (`inside`) or does not hold all bytes. Changes x10 and x12.
    pub(super) fn window(&mut self, addr: Reg, window: i32, size: Size, to: Label, inside: bool) {
        let (start, limit) = (PC, LIMIT);
        let near = window - at::READABLE;
        let limits = at::LIMITS + 8 * size as i32;
        if limits == at::START + 8 && fits_pair(near + at::START) {
            self.asm
                .pair(Access::Load, start, limit, WINDOWS, near + at::START);
        } else {
            self.asm.load_field(start, window + at::START);
            self.asm.load_field(limit, window + limits);
        }
        self.asm.arith(Arith::Sub, Width::X, start, addr, start);
        self.asm.cmp(Width::X, start, limit);
        let cond = if inside { Cond::Lo } else { Cond::Hs };
        self.asm.b_if(cond, to);
    }

    pub fn load_checked(&mut self, op: &Op) {
        let probe = op.code as u8 >= Code::LdProbeB as u8;
        let first = if probe { Code::LdProbeB } else { Code::LdB };
        let (size, signed) = load_shape(op.code, first);
        let dst = HOME[op.dst as usize];
        self.define(op.dst);
        let address = self.ready_address(op.src, op.off);
        let addr = self.address_in(address);
        let gate = self.gate(Gate::Load(op.code as u8));
        if probe {
            self.asm.mov(Width::X, OPERAND, addr);
            self.asm.mov_imm(PC, self.pc as u64);
            self.asm.bl(gate);
            self.asm.mov(Width::X, dst, OPERAND);
            return self.wrote(op.dst, 64);
        }
        let (slow, direct, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.window(addr, at::READABLE, size, slow, false);
        self.asm.bind(direct);
        self.asm.memory(access(signed), size, dst, addr, 0);
        self.asm.bind(done);
        self.cold.push(Cold::Load {
            at: slow,
            direct,
            done,
            addr,
            dst,
            size,
            gate,
            pc: self.pc as u32,
        });
        // Four bytes of a context may give a whole pointer.
        let bits = if size == Size::W {
            64
        } else {
            loaded_bits(size, signed)
        };
        self.wrote(op.dst, bits);
    }

    /// The register whose low bytes a store writes; x11 for a number.
    fn stored(&mut self, op: &Op, register: bool, size: Size) -> Reg {
        let number = |lower: &mut Self, value: u64| {
            if value == 0 {
                return ZR;
            }
            lower.asm.mov_imm(STORED, value);
            STORED
        };
        let cut = |value: u64| match size {
            Size::D => value,
            _ => value & ((1 << (8 << size as u32)) - 1),
        };
        if !register {
            return number(self, cut(op.imm as u64));
        }
        match self.values.of[op.src as usize] {
            Value::Const(value) if value == 0 || self.live >> op.src & 1 == 0 => {
                number(self, cut(value))
            }
            Value::Low { src, bits } if 8 << size as u32 <= u32::from(bits) => HOME[src as usize],
            _ => {
                self.ready(op.src, size != Size::D);
                self.reg(op.src, size != Size::D)
            }
        }
    }

    /// The operands of a store.
    fn store_operands(&mut self, op: &Op, register: bool, size: Size) -> (Address, Reg) {
        // Each may work out the other, which then is ready for good.
        self.ready_address(op.dst, op.off);
        let stored = self.stored(op, register, size);
        (self.ready_address(op.dst, op.off), stored)
    }

    pub fn store_raw(&mut self, op: &Op) {
        let register = op.code as u8 >= Code::StxRawB as u8;
        let first = if register {
            Code::StxRawB
        } else {
            Code::StRawB
        };
        let size = size(op.code as u8 - first as u8);
        let (address, stored) = self.store_operands(op, register, size);
        self.access(Access::Store, size, stored, address);
    }

    pub fn store_checked(&mut self, op: &Op) {
        let register = op.code as u8 >= Code::StxB as u8;
        let first = if register { Code::StxB } else { Code::StB };
        let size = size(op.code as u8 - first as u8);
        let (address, stored) = self.store_operands(op, register, size);
        let addr = self.address_in(address);
        let gate = self.gate(Gate::Store(1 << size as u8));
        let (slow, direct, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.window(addr, at::WRITABLE, size, slow, false);
        self.asm.bind(direct);
        self.asm.memory(Access::Store, size, stored, addr, 0);
        self.asm.bind(done);
        self.cold.push(Cold::Store {
            at: slow,
            direct,
            done,
            addr,
            stored,
            size,
            gate,
            pc: self.pc as u32,
        });
    }

    pub fn atomic(&mut self, op: &Op) {
        use Code::*;
        let code = op.code as u8;
        let is = |from: Code, to: Code| from as u8 <= code && code <= to as u8;
        let load = is(LoadAcqB, LoadAcqD);
        let size = if load {
            size(code - LoadAcqB as u8)
        } else if is(StoreRelB, StoreRelD) {
            size(code - StoreRelB as u8)
        } else if is(AtomicAdd32, CmpXchg32) {
            Size::W
        } else {
            Size::D
        };
        if load {
            self.define(op.dst);
            let addr = self.atomic_operand(op.src, op.off, op.direct, size);
            self.asm.ldar(size, HOME[op.dst as usize], addr);
            return self.wrote(op.dst, 8 << size as u8);
        }
        // The operation may change r0 or the source.
        let (_, defines) = self.scan.uses(self.program, op);
        for register in [0, op.src] {
            if defines >> register & 1 != 0 {
                self.define(register);
            }
        }
        let exchange = matches!(op.code, CmpXchg32 | CmpXchg64);
        if exchange {
            self.home(0);
        }
        let src = self.home(op.src);
        let addr = self.atomic_operand(op.dst, op.off, op.direct, size);
        match op.code {
            StoreRelB | StoreRelH | StoreRelW | StoreRelD => self.asm.stlr(size, src, addr),
            CmpXchg32 | CmpXchg64 => self.compare_exchange(size, src, addr),
            _ if self.backend.lse => self.modify_at_once(op.code, size, src, addr),
            _ => self.modify_in_loop(op.code, size, src, addr),
        }
        for register in [0, op.src] {
            if defines >> register & 1 != 0 {
                self.wrote(register, 8 << size as u8);
            }
        }
    }

    fn compare_exchange(&mut self, size: Size, src: Reg, addr: Reg) {
        let width = if size == Size::D { Width::X } else { Width::W };
        let old = OPERAND;
        if self.backend.lse {
            self.asm.mov(width, old, HOME[0]);
            self.asm.casal(size, old, src, addr);
        } else {
            let (again, other) = (self.asm.label(), self.asm.label());
            self.asm.bind(again);
            self.asm.ldxr(size, old, addr, true);
            self.asm.cmp(width, old, HOME[0]);
            self.asm.b_if(Cond::Ne, other);
            self.asm.stxr(size, PC, src, addr, true);
            self.asm.cbnz(Width::W, PC, again);
            self.asm.bind(other);
        }
        self.asm.mov(width, HOME[0], old);
    }

    /// One instruction of FEAT_LSE.
    fn modify_at_once(&mut self, code: Code, size: Size, src: Reg, addr: Reg) {
        use Code::*;
        let fetch = fetches(code);
        let op = match code {
            AtomicAdd32 | AtomicAdd64 | FetchAdd32 | FetchAdd64 => Atomic::Add,
            AtomicOr32 | AtomicOr64 | FetchOr32 | FetchOr64 => Atomic::Set,
            AtomicAnd32 | AtomicAnd64 | FetchAnd32 | FetchAnd64 => Atomic::Clr,
            Xchg32 | Xchg64 => Atomic::Swp,
            _ => Atomic::Eor,
        };
        let operand = if op == Atomic::Clr {
            self.asm.logic_not(Logic::Orr, Width::X, OPERAND, ZR, src);
            OPERAND
        } else {
            src
        };
        let old = if fetch { src } else { ZR };
        self.asm.atomic(op, size, operand, old, addr, fetch);
    }

    /// Reads and changes until nobody came between.
    fn modify_in_loop(&mut self, code: Code, size: Size, src: Reg, addr: Reg) {
        use Code::*;
        let fetch = fetches(code);
        let width = if size == Size::D { Width::X } else { Width::W };
        let (old, new, failed) = (OPERAND, PC, STORED);
        let again = self.asm.label();
        self.asm.bind(again);
        self.asm.ldxr(size, old, addr, fetch);
        let new = match code {
            AtomicAdd32 | AtomicAdd64 | FetchAdd32 | FetchAdd64 => {
                self.asm.arith(Arith::Add, width, new, old, src);
                new
            }
            Xchg32 | Xchg64 => src,
            _ => {
                let op = match code {
                    AtomicOr32 | AtomicOr64 | FetchOr32 | FetchOr64 => Logic::Orr,
                    AtomicAnd32 | AtomicAnd64 | FetchAnd32 | FetchAnd64 => Logic::And,
                    _ => Logic::Eor,
                };
                self.asm.logic(op, width, new, old, src);
                new
            }
        };
        self.asm.stxr(size, failed, new, addr, fetch);
        self.asm.cbnz(Width::W, failed, again);
        if fetch {
            self.asm.mov(width, src, old);
        }
    }

    /// The address of an operand, found good unless it is proven.
    fn atomic_operand(&mut self, register: u8, off: i32, direct: bool, size: Size) -> Reg {
        let address = self.ready_address(register, off);
        let addr = self.address_in(address);
        if direct {
            return addr;
        }
        let gate = self.gate(Gate::Atomic(1 << size as u8));
        let (slow, found) = (self.asm.label(), self.asm.label());
        if addr != ADDRESS {
            self.asm.mov(Width::X, ADDRESS, addr);
        }
        if let Some(mask) = Logical::new(Width::X, (1 << size as u64) - 1) {
            self.asm.logic_imm(Logic::Ands, Width::X, ZR, ADDRESS, mask);
            self.asm.b_if(Cond::Ne, slow);
        }
        self.window(ADDRESS, at::WRITABLE, size, slow, false);
        self.asm.bind(found);
        self.cold.push(Cold::Atomic {
            at: slow,
            found,
            gate,
            pc: self.pc as u32,
        });
        ADDRESS
    }
}

/// Whether the source gets the old value.
fn fetches(code: Code) -> bool {
    let is = |from: Code, to: Code| from as u8 <= code as u8 && code as u8 <= to as u8;
    is(Code::FetchAdd32, Code::Xchg32) || is(Code::FetchAdd64, Code::Xchg64)
}
