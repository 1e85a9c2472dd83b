//! States and instructions as the kernel's log prints them.
//!
//! Invariant: the text of a state is one line, each part with a blank before it: ` frame1: R0=0 fp-8=scalar()`.

use std::fmt::{self, Write as _};

use skep_spec::disasm;
use skep_spec::insn::pseudo;

use super::State;
use super::frame::Frame;
use super::reg::{Detail, Flags, IterState, Kind, LINKED_ADD, Reg};
use super::scalar::text::{write_signed, write_unsigned};
use super::slot::SlotByte;
use crate::explore::checkpoint::FrameMarks;
use crate::input::{BtfIdx, Input};
use crate::log::Shown;
use crate::verifier::Verifier;
use skep_btf::TypeId;

/// The name of a type, empty if there is none.
fn type_name(input: &Input, btf: BtfIdx, id: u32) -> &str {
    input.btf(btf).map_or("", |btf| btf.name(TypeId(id)))
}

impl SlotByte {
    const fn letter(self) -> char {
        match self {
            SlotByte::Invalid => '?',
            SlotByte::Spill => 'r',
            SlotByte::Misc => 'm',
            SlotByte::Zero => '0',
            SlotByte::Dynptr => 'd',
            SlotByte::Iter => 'i',
            SlotByte::Irq => 'f',
        }
    }
}

/// Parts in parentheses, a comma between them.
struct Parts<'o> {
    out: &'o mut String,
    first: bool,
}

impl Parts<'_> {
    fn add(&mut self, part: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.write_fmt(part)
    }
}

/// One register's value in `frame`.
pub fn write_reg(
    out: &mut String,
    input: &Input,
    frame: &Frame,
    reg: &Reg,
    precise: bool,
) -> fmt::Result {
    if reg.kind == Kind::Scalar {
        if precise || reg.precise {
            out.push('P');
        }
        if reg.num.is_const() {
            return write_signed(out, reg.num.bits.value as i64);
        }
    }
    write!(out, "{}", reg.type_name())?;
    match reg.kind {
        Kind::Arena => return Ok(()),
        Kind::Stack => {
            if reg.frame != frame.number {
                write!(out, "[{}]", reg.frame)?;
            }
            if reg.num.is_const() {
                let off = (reg.num.bits.value as i64).wrapping_add(i64::from(reg.off));
                return write_signed(out, off);
            }
        }
        Kind::BtfId => {
            if let Detail::Btf { btf, id } = reg.detail {
                out.push_str(type_name(input, btf, id));
            }
        }
        _ => {}
    }
    out.push('(');
    let mut parts = Parts { out, first: true };
    if reg.id != 0 {
        parts.first = false;
        parts.out.push_str("id=");
        match u16::try_from(reg.id & !LINKED_ADD) {
            Ok(id) => write_unsigned(parts.out, id.into())?,
            Err(_) => write!(parts.out, "{}", reg.id & !LINKED_ADD)?,
        }
    }
    if reg.id & LINKED_ADD != 0 {
        write!(parts.out, "{:+}", reg.off)?;
    }
    if reg.ref_id != 0 {
        parts.add(format_args!("ref_obj_id={}", reg.ref_id))?;
    }
    if reg.flags.has(Flags::NON_OWN_REF) {
        parts.add(format_args!("non_own_ref"))?;
    }
    if let Detail::Map { map, .. } = reg.detail
        && let Some(info) = input.maps.get(map.0 as usize)
    {
        if !info.name.is_empty() {
            parts.add(format_args!("map={}", info.name))?;
        }
        parts.add(format_args!("ks={},vs={}", info.key_size, info.value_size))?;
    }
    if reg.kind != Kind::Scalar && reg.off != 0 {
        parts.add(format_args!("off="))?;
        write_signed(parts.out, i64::from(reg.off))?;
    }
    if reg.is_packet_any() {
        parts.add(format_args!("r="))?;
        write_unsigned(parts.out, i64::from(reg.range()) as u64)?;
    }
    if let (Kind::Mem, Detail::Mem { size, .. }) = (reg.kind, reg.detail) {
        parts.add(format_args!("sz="))?;
        write_unsigned(parts.out, u64::from(size))?;
    }
    if let (Kind::ConstDynptr, Detail::Dynptr { kind, .. }) = (reg.kind, reg.detail) {
        parts.add(format_args!("type={}", kind.word()))?;
    }
    if let Some(number) = reg.num.as_const() {
        if number != 0 {
            parts.add(format_args!("imm="))?;
            write_signed(parts.out, number as i64)?;
        }
    } else {
        let first = parts.first;
        reg.num.write_ranges(parts.out, first)?;
    }
    out.push(')');
    Ok(())
}

/// ` fp-8=`
fn write_place(out: &mut String, off: i32) -> fmt::Result {
    out.push_str(" fp");
    write_signed(out, off.into())?;
    out.push('=');
    Ok(())
}

/// Frame `number` of `state`: all of it, or what `shown` names.
pub fn write_frame(
    out: &mut String,
    input: &Input,
    state: &State,
    number: usize,
    shown: Option<Shown>,
    marks: Option<&FrameMarks>,
    always_precise: bool,
) -> fmt::Result {
    let Some(frame) = state.frames.get(number) else {
        return Ok(());
    };
    if number > 0 {
        write!(out, " frame{number}:")?;
    }
    let shown = shown.unwrap_or(Shown {
        regs: u16::MAX,
        slots: u64::MAX,
    });
    for (index, reg) in frame.regs.iter().enumerate() {
        if reg.kind == Kind::NotInit || shown.regs >> index & 1 == 0 {
            continue;
        }
        out.push_str(" R");
        write_unsigned(out, index as u64)?;
        out.push('=');
        let precise =
            always_precise || marks.is_some_and(|marks| marks.precise_regs >> index & 1 != 0);
        write_reg(out, input, frame, reg, precise)?;
    }
    let mut skip = false;
    for (index, slot) in frame.stack.iter().enumerate() {
        let is_dead = marks.is_some_and(|marks| marks.alive_slots >> index & 1 == 0);
        if std::mem::take(&mut skip) || shown.slots >> index & 1 == 0 || is_dead {
            continue;
        }
        if slot.bytes == [SlotByte::Invalid; 8] {
            continue;
        }
        let off = -8 - 8 * index as i32;
        let letters = slot.bytes.iter().map(|byte| byte.letter());
        match slot.bytes[7] {
            SlotByte::Spill => {
                let above: String = letters.take_while(|&letter| letter != 'r').collect();
                write_place(out, off)?;
                out.push_str(&above);
                let precise = always_precise
                    || marks.is_some_and(|marks| marks.precise_slots >> index & 1 != 0);
                write_reg(out, input, frame, &slot.reg, precise)?;
            }
            SlotByte::Dynptr => {
                // The pair is printed once, at the slot that holds the details.
                skip = true;
                let Some(main) = frame.stack.get(index + 1) else {
                    continue;
                };
                let kind = match main.reg.detail {
                    Detail::Dynptr { kind, .. } => kind.word(),
                    _ => "",
                };
                write!(out, " fp{}=dynptr_{kind}(", off - 8)?;
                let mut parts = Parts { out, first: true };
                if main.reg.id != 0 {
                    parts.add(format_args!("id={}", main.reg.id))?;
                }
                if main.reg.ref_id != 0 {
                    parts.add(format_args!("ref_id={}", main.reg.ref_id))?;
                }
                out.push(')');
            }
            SlotByte::Iter => {
                if slot.reg.ref_id == 0 {
                    continue;
                }
                if let Detail::Iter {
                    btf,
                    id,
                    state,
                    depth,
                } = slot.reg.detail
                {
                    let name = type_name(input, btf, id);
                    let name = name.strip_prefix("bpf_iter_").unwrap_or(name);
                    let state = match state {
                        IterState::Active => "active",
                        IterState::Drained => "drained",
                    };
                    write!(
                        out,
                        " fp{off}=iter_{name}(ref_id={},state={state},depth={depth})",
                        slot.reg.ref_id
                    )?;
                }
            }
            _ => {
                write_place(out, off)?;
                out.extend(letters);
            }
        }
    }
    if let Some((first, rest)) = state.held.resources.split_first() {
        write!(out, " refs={}", first.id)?;
        for held in rest {
            write!(out, ",{}", held.id)?;
        }
    }
    if frame.in_callback {
        out.push_str(" cb");
    }
    if frame.in_async_callback {
        out.push_str(" async_cb");
    }
    Ok(())
}

impl Verifier<'_> {
    /// Frame `frame` of `state` as the log prints it, each part with a blank before it.
    pub fn state_text(&self, state: &State, frame: usize, shown: Option<Shown>) -> String {
        let mut text = String::new();
        // Nothing fails to be written into a string.
        let _ = write_frame(
            &mut text,
            self.input,
            state,
            frame,
            shown,
            None,
            !self.allow.bpf,
        );
        text
    }

    /// An instruction as the log prints it, with the names of kernel functions.
    pub fn insn_text(&self, at: usize) -> String {
        let insn = self.insns[at];
        if insn.is_call() && insn.src == pseudo::KFUNC_CALL {
            let name = type_name(self.input, BtfIdx(insn.off as u16), insn.imm as u32);
            if !name.is_empty() {
                return format!("({:02x}) call {name}#{}", insn.code, insn.imm);
            }
        }
        if insn.is_ld_imm64() && !matches!(insn.src, 0 | pseudo::FUNC) {
            // The kernel prints an address here, or 0 to those who may not see it.
            return format!("({:02x}) r{} = 0x0", insn.code, insn.dst);
        }
        disasm::insn(&insn, self.insns.get(at + 1), disasm::Style::Kernel)
    }

    /// The source line of the instruction, if it is another than the one before.
    pub fn log_source(&mut self, at: usize) {
        let lines = &self.input.lines;
        let after = lines.partition_point(|line| line.insn <= at);
        let Some(index) = after.checked_sub(1) else {
            return;
        };
        let line = &lines[index];
        let is_new = match self.log.source_line(index) {
            // The same line, but another column.
            Some(last) => lines.get(last).is_none_or(|last| {
                last.line != line.line || last.file != line.file || last.text != line.text
            }),
            None => true,
        };
        if is_new {
            let file = line.file.rsplit('/').next().unwrap_or("");
            self.log.line(format_args!(
                "; {} @ {file}:{}",
                line.text.trim_start(),
                line.line
            ));
        }
    }
}

#[cfg(test)]
mod tests;
