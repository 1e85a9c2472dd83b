//! Conditional jumps: which sides are possible, and what each side teaches.
//!
//! Invariant: the fall-through side is walked next, the other is put aside, unless one of them cannot be taken.

use skep_spec::insn::{Insn, class, jmp};
use skep_spec::profile::Feature;

use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::held::HeldKind;
use crate::state::reg::{AT_PKT_END, BEYOND_PKT_END, Detail, Flags, Kind, Reg};
use crate::step::alu_op::immediate;
use crate::step::linked::{self, Linked};
use crate::step::refine::{self, Cond, branch_taken};
use crate::step::{Next, Use};
use crate::structure::{self, Verdict};
use crate::verifier::Verifier;
use skep_spec::map::MapType;

const EACCES: i32 = 13;
/// The farthest byte of a packet that an offset may reach (`MAX_PACKET_OFF`).
const PACKET_OFF_MAX: u64 = 0xffff;

impl Verifier<'_> {
    /// A conditional jump, or may_goto.
    pub fn check_cond_jmp(&mut self, insn: Insn) -> Rule<Next> {
        let at = self.insn_idx;
        let fall = at + 1;
        let target = (at as i64 + 1 + i64::from(insn.off)) as usize;
        if insn.code & 0xf0 == jmp::JCOND {
            return self.check_may_goto(insn, target, fall);
        }
        let narrow = insn.code & class::MASK == class::JMP32;
        let by_register = insn.is_register_form();
        self.check_reg_arg(insn.dst, Use::Read)?;
        if self.shape.verdicts.at(at) == Verdict::ReservedAfterFirst {
            structure::check_insn(insn, &self.shape.isa)?;
        }
        let dst = *self.reg(insn.dst);
        let src = if by_register {
            self.check_reg_arg(insn.src, Use::Read)?;
            let src = *self.reg(insn.src);
            if !(dst.is_packet_any() && src.is_packet_any()) && self.is_pointer_value(insn.src) {
                return Err(comparison(insn.src));
            }
            self.note_jump_stack(dst.kind == Kind::Stack, src.kind == Kind::Stack);
            src
        } else {
            immediate(insn.imm)
        };

        let Some(cond) = Cond::decode(insn.code) else {
            return Err(Fault::new(
                22,
                "verifier-unknown-opcode",
                format!("unknown opcode {:02x}", insn.code),
            ));
        };
        match self.taken(&dst, &src, cond, narrow) {
            Some(taken) => {
                if !dst.is_pointer() {
                    self.mark_precise(insn.dst)?;
                }
                if by_register && !src.is_pointer() {
                    self.mark_precise(insn.src)?;
                }
                let (real, other) = if taken {
                    (target, fall)
                } else {
                    (fall, target)
                };
                if !self.allow.bypass_spec_v1 {
                    self.push_speculative(insn, other, at)?;
                }
                Ok(Next::Insn(real))
            }
            None => {
                self.split(insn, cond, narrow, &src, target)?;
                Ok(Next::Insn(fall))
            }
        }
    }

    /// Whether the jump is always or never taken.
    fn taken(&self, dst: &Reg, src: &Reg, cond: Cond, narrow: bool) -> Option<bool> {
        if dst.is_packet_any() && src.is_packet_any() && !narrow {
            return packet_taken(dst, src, cond);
        }
        if !dst.is_pointer() && !src.is_pointer() {
            return branch_taken(self.scalar_rules(), &dst.num, &src.num, cond, narrow);
        }
        // A valid pointer never equals zero.
        let (pointer, number) = if src.is_pointer() {
            (src, dst)
        } else {
            (dst, src)
        };
        if number.is_pointer() || number.as_const() != Some(0) || !self.never_null(pointer) {
            return None;
        }
        match cond {
            Cond::Eq => Some(false),
            Cond::Ne => Some(true),
            _ => None,
        }
    }

    /// Whether the pointer certainly differs from zero.
    pub fn never_null(&self, reg: &Reg) -> bool {
        if reg.maybe_null() {
            return false;
        }
        match reg.kind {
            Kind::Socket
            | Kind::TcpSock
            | Kind::MapValue
            | Kind::MapKey
            | Kind::SockCommon
            | Kind::MapPtr => true,
            Kind::BtfId => reg.is_trusted(),
            Kind::Mem => !reg.flags.has(Flags::UNTRUSTED),
            _ => false,
        }
    }

    /// Both sides: what each teaches.
    fn split(&mut self, insn: Insn, cond: Cond, narrow: bool, src: &Reg, target: usize) -> Rule {
        let at = self.insn_idx;
        let by_register = insn.is_register_form();
        let mut links = Linked::default();
        if by_register && src.kind == Kind::Scalar && src.id != 0 {
            linked::collect(&mut self.state, src.id, &mut links);
        }
        let dst_id = self.reg(insn.dst).id;
        if self.reg(insn.dst).kind == Kind::Scalar
            && dst_id != 0
            && !(by_register && same_link(src, dst_id))
        {
            linked::collect(&mut self.state, dst_id, &mut links);
        }
        if links.len > 1 {
            self.note_linked(&links);
        }
        self.push_branch(target, at, false)?;

        let dst = *self.reg(insn.dst);
        let src = if by_register {
            *self.reg(insn.src)
        } else {
            *src
        };
        let aliased = by_register && insn.dst == insn.src;
        if dst.kind == Kind::Scalar && src.kind == Kind::Scalar {
            let rules = self.scalar_rules();
            let mut sides = [(true, dst, src), (false, dst, src)];
            for (taken, a, b) in &mut sides {
                if aliased {
                    refine::refine_self(rules, cond, narrow, *taken, &mut a.num);
                } else {
                    refine::refine(rules, cond, narrow, *taken, &mut a.num, &mut b.num);
                }
            }
            for (taken, mut a, mut b) in sides {
                self.settle(&mut a.num, if taken { "true_reg1" } else { "false_reg1" })?;
                let second = if aliased { &mut a.num } else { &mut b.num };
                self.settle(second, if taken { "true_reg2" } else { "false_reg2" })?;
                let (a, b) = (a.num, if aliased { a.num } else { b.num });
                let state = self.side(taken);
                let regs = &mut state.frame_mut().regs;
                regs[usize::from(insn.dst)].num = a;
                if by_register {
                    regs[usize::from(insn.src)].num = b;
                }
                if links.len > 1 {
                    if by_register && src.id != 0 {
                        let known = state.frame().regs[usize::from(insn.src)];
                        linked::sync(state, &known, &links);
                    }
                    if dst.id != 0 {
                        let known = state.frame().regs[usize::from(insn.dst)];
                        linked::sync(state, &known, &links);
                    }
                }
            }
        }
        self.learn_null(insn, narrow, &dst, &src)
    }

    /// The state of that side: the branch put aside last, or the current one.
    fn side(&mut self, taken: bool) -> &mut State {
        if taken {
            match self.explore.pending.last_mut() {
                Some(branch) => &mut branch.state,
                None => &mut self.state,
            }
        } else {
            &mut self.state
        }
    }

    /// What a comparison with zero, of two pointers, or with the packet's end teaches.
    fn learn_null(&mut self, insn: Insn, narrow: bool, dst: &Reg, src: &Reg) -> Rule {
        let op = insn.code & 0xf0;
        let by_register = insn.is_register_form();
        // Two pointers that are equal are both null or both not.
        if self.platform.profile.has(Feature::ComparedNullness)
            && !narrow
            && by_register
            && dst.is_pointer()
            && src.is_pointer()
            && dst.maybe_null() != src.maybe_null()
            && dst.kind != Kind::BtfId
            && src.kind != Kind::BtfId
            && matches!(op, jmp::JEQ | jmp::JNE)
        {
            let number = if src.maybe_null() { insn.src } else { insn.dst };
            let kind = self.not_null(self.reg(number));
            self.side(op == jmp::JEQ).frame_mut().regs[usize::from(number)] = kind;
        }
        if !narrow
            && !by_register
            && insn.imm == 0
            && matches!(op, jmp::JEQ | jmp::JNE)
            && dst.maybe_null()
        {
            self.mark_or_null(false, insn.dst, op == jmp::JNE);
            self.mark_or_null(true, insn.dst, op == jmp::JEQ);
            return Ok(());
        }
        if !(by_register && !narrow && self.match_packet(op, insn, dst, src))
            && self.is_pointer_value(insn.dst)
        {
            return Err(comparison(insn.dst));
        }
        Ok(())
    }

    /// On that side, the nullable pointer in register `number` and all its copies are null, or are not.
    pub fn mark_or_null(&mut self, taken: bool, number: u8, null: bool) {
        let mut state = std::mem::replace(self.side(taken), State::hollow());
        self.mark_or_null_in(&mut state, number, null);
        *self.side(taken) = state;
    }

    /// The same in a state that is not one of the sides.
    pub fn mark_or_null_in(&self, state: &mut State, number: u8, null: bool) {
        let reg = state.frame().regs[usize::from(number)];
        if reg.ref_id != 0 && reg.ref_id == reg.id && null {
            // There is nothing to release where nothing was acquired.
            state
                .held_mut()
                .resources
                .retain(|held| held.kind != HeldKind::Reference || held.id != reg.ref_id);
        }
        let id = reg.id;
        state.for_each_reg(
            |reg| reg.maybe_null() && reg.id == id && reg.is_pointer(),
            |reg| {
                *reg = if null {
                    Reg {
                        precise: reg.precise,
                        ..Reg::constant(0)
                    }
                } else {
                    let mut new = self.not_null(reg);
                    if !self.may_point_to_lock(&new) {
                        new.id = 0;
                    }
                    new
                };
            },
        );
    }

    /// The pointer, known not to be null.
    pub fn not_null(&self, reg: &Reg) -> Reg {
        let mut new = *reg;
        new.flags = new.flags.without(Flags::MAYBE_NULL);
        if reg.kind == Kind::MapValue
            && let Some(map) = reg.map()
        {
            let info = self.map(map);
            if let Some(inner) = info.inner {
                new.kind = Kind::MapPtr;
                new.detail = Detail::Map {
                    map: inner,
                    uid: if self.map_needs_uid(inner) { reg.id } else { 0 },
                };
            } else {
                new.kind = match info.map_type {
                    MapType::Xskmap => Kind::XdpSock,
                    MapType::Sockmap | MapType::Sockhash => Kind::Socket,
                    _ => Kind::MapValue,
                };
                if new.kind != Kind::MapValue {
                    new.detail = Detail::None;
                }
            }
        }
        new
    }

    /// Pointers into the packet compared with its end: how many bytes are there on each side.
    fn match_packet(&mut self, op: u8, insn: Insn, dst: &Reg, src: &Reg) -> bool {
        let left = pairs(dst, src);
        let right = pairs(src, dst);
        if !left && !right {
            return false;
        }
        // `below`: on which side of the branch the pointer lies below the end, and whether equality is excluded there.
        let (number, pointer) = if left {
            (insn.dst, dst)
        } else {
            (insn.src, src)
        };
        let (below_when_taken, strict) = match (op, left) {
            (jmp::JGT, true) => (false, false),
            (jmp::JGT, false) => (true, true),
            (jmp::JLT, true) => (true, true),
            (jmp::JLT, false) => (false, false),
            (jmp::JGE, true) => (false, true),
            (jmp::JGE, false) => (true, false),
            (jmp::JLE, true) => (true, false),
            (jmp::JLE, false) => (false, true),
            _ => return false,
        };
        learn_range(self.side(below_when_taken), pointer, strict);
        let other = self.side(!below_when_taken);
        let reg = &mut other.frame_mut().regs[usize::from(number)];
        if reg.kind == Kind::Packet {
            reg.detail = Detail::Range(if strict { AT_PKT_END } else { BEYOND_PKT_END });
        }
        true
    }
}

impl Reg {
    /// Whether it is `PTR_TO_PACKET` at the packet's very start.
    fn is_packet_start(&self) -> bool {
        self.kind == Kind::Packet && self.off == 0 && self.num.as_const() == Some(0)
    }
}

/// A packet (or metadata) pointer against what ends it.
fn pairs(pointer: &Reg, end: &Reg) -> bool {
    pointer.kind == Kind::Packet && end.kind == Kind::PacketEnd
        || pointer.kind == Kind::PacketMeta && end.is_packet_start()
}

fn same_link(src: &Reg, dst_id: u32) -> bool {
    src.kind == Kind::Scalar && src.id != 0 && linked::base_id(src.id) == linked::base_id(dst_id)
}

fn comparison(number: u8) -> Box<Fault> {
    Fault::new(
        EACCES,
        "verifier-pointer-comparison",
        format!("R{number} pointer comparison prohibited"),
    )
}

/// Whether a comparison with the packet's end was decided by an earlier one.
fn packet_taken(dst: &Reg, src: &Reg, cond: Cond) -> Option<bool> {
    let (pointer, cond) = if src.kind == Kind::PacketEnd {
        (dst, cond)
    } else if dst.kind == Kind::PacketEnd {
        (src, cond.swapped())
    } else {
        return None;
    };
    match (pointer.range(), cond) {
        (BEYOND_PKT_END, Cond::Gt) => Some(true),
        (BEYOND_PKT_END, Cond::Le) => Some(false),
        (BEYOND_PKT_END | AT_PKT_END, Cond::Ge) => Some(true),
        (BEYOND_PKT_END | AT_PKT_END, Cond::Lt) => Some(false),
        _ => None,
    }
}

/// `pointer` is not beyond the end (before it, if `strict`): so many bytes before it are there.
fn learn_range(state: &mut State, pointer: &Reg, strict: bool) {
    if pointer.off < 0 || pointer.off == 0 && strict {
        return;
    }
    if pointer.num.umax > PACKET_OFF_MAX || pointer.num.umax + pointer.off as u64 > PACKET_OFF_MAX {
        return;
    }
    let range = pointer.off + i32::from(strict);
    state.for_each_reg(
        |reg| reg.kind == pointer.kind && reg.id == pointer.id && reg.range() < range,
        |reg| reg.detail = Detail::Range(range),
    );
}
