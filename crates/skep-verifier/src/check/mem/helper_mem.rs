//! Memory that a call reads or writes: a pointer, and a size that is a constant or another register.

use super::plain::{buffer_name, check_buffer, mem_size};
use super::{Access, cannot_write, denied};
use crate::check::call_meta::CallMeta;
use crate::fault::Rule;
use crate::state::name::type_name;
use crate::state::reg::{Flags, Kind, Reg};
use crate::verifier::Verifier;

/// The sizes that a register may bring are below this (`BPF_MAX_VAR_SIZ`).
const SIZE_MAX: u64 = 1 << 29;

impl Verifier<'_> {
    /// Whether a call may read (or with `write` write) `size` bytes at the register.
    pub fn check_helper_mem_access(
        &mut self,
        regno: u8,
        size: u32,
        write: bool,
        zero_size_allowed: bool,
        meta: Option<&mut CallMeta>,
    ) -> Rule {
        let reg = *self.reg(regno);
        let off = reg.off;
        let bytes = size;
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        match reg.kind {
            Kind::Packet | Kind::PacketMeta => {
                let fills = write || meta.is_some_and(|meta| meta.raw_mode);
                if fills && self.platform.host.is_some_and(|host| !host.data_writable) {
                    return Err(cannot_write(regno, &reg));
                }
                self.check_packet_range(regno, &reg, off, size, zero_size_allowed)
            }
            Kind::MapKey => {
                if write {
                    return Err(cannot_write(regno, &reg));
                }
                let key_size = reg.map().map_or(0, |map| self.map(map).key_size);
                self.check_mem_region(regno, &reg, off, size, key_size, false)
            }
            Kind::MapValue if !reg.maybe_null() => {
                self.check_map_access_type(&reg, off, size, write)?;
                self.check_map_access(regno, off, bytes, zero_size_allowed, true)
            }
            Kind::Mem if !reg.maybe_null() => {
                if write && reg.flags.has(Flags::RDONLY) {
                    return Err(cannot_write(regno, &reg));
                }
                self.check_mem_region(regno, &reg, off, size, mem_size(&reg), zero_size_allowed)
            }
            Kind::Buf if !reg.maybe_null() => {
                if write && reg.flags.has(Flags::RDONLY) {
                    return Err(cannot_write(regno, &reg));
                }
                check_buffer(buffer_name(&reg), regno, &reg, off, bytes)
            }
            Kind::Stack => {
                self.check_stack_range_initialized(regno, off, size, zero_size_allowed, write, meta)
            }
            Kind::BtfId if !reg.maybe_null() => {
                self.access_btf(regno, &reg, off, &Access::read(bytes))
            }
            Kind::Ctx if self.platform.host.is_some() => {
                // What is only filled is not read; anything else is, even if it is written too.
                let raw = meta.is_some_and(|meta| meta.raw_mode);
                self.check_context_bytes(
                    regno,
                    &reg,
                    bytes,
                    (!raw, write || raw),
                    zero_size_allowed,
                )
            }
            Kind::Ctx if !self.converts_ctx() => {
                if size == 0 {
                    return if zero_size_allowed {
                        Ok(())
                    } else {
                        Err(denied(
                            "verifier-zero-sized-read",
                            "invalid zero-sized read",
                        ))
                    };
                }
                let last = Access {
                    write,
                    ..Access::read(1)
                };
                self.check_mem_access(regno, size.wrapping_sub(1), last)
            }
            _ => {
                if zero_size_allowed && size == 0 && reg.is_zero() {
                    return Ok(());
                }
                Err(denied(
                    "verifier-argument-type",
                    format!(
                        "R{regno} type={} expected={}",
                        reg.type_name(),
                        type_name(Kind::Stack, Flags::NONE)
                    ),
                ))
            }
        }
    }

    /// The same for the register before `size`, which holds the size: every size that it may hold must be good.
    pub fn check_mem_size_reg(
        &mut self,
        size: u8,
        write: bool,
        zero_size_allowed: bool,
        meta: &mut CallMeta,
    ) -> Rule {
        let num = self.reg(size).num;
        meta.msize_max = num.umax;
        // Where the size varies perhaps only a part is filled.
        let meta = if num.is_const() { Some(meta) } else { None };
        let refuse = |line: String| Err(denied("verifier-size-argument", line));
        if num.smin < 0 {
            return refuse(format!(
                "R{size} min value is negative, either use unsigned or 'var &= const'"
            ));
        }
        if num.umin == 0 && !zero_size_allowed {
            return refuse(format!(
                "R{size} invalid zero-sized read: u64=[{},{}]",
                num.umin as i64, num.umax as i64
            ));
        }
        if num.umax >= SIZE_MAX {
            return refuse(format!(
                "R{size} unbounded memory access, use 'var &= const' or 'if (var < const)'"
            ));
        }
        self.check_helper_mem_access(
            size.saturating_sub(1),
            num.umax as u32,
            write,
            zero_size_allowed,
            meta,
        )?;
        self.mark_precise(size)
    }

    /// Whether the register points to `size` bytes to be read and written, or is null.
    pub fn check_mem_reg(&mut self, regno: u8, size: u32) -> Rule {
        let saved = *self.reg(regno);
        if saved.is_zero() {
            return Ok(());
        }
        self.typed_as_memory |= saved.kind == Kind::BtfId;
        self.without_null(regno, &saved);
        let checked = self
            .check_helper_mem_access(regno, size, false, true, None)
            .and_then(|()| self.check_helper_mem_access(regno, size, true, true, None));
        self.set_reg(regno, saved);
        checked
    }

    /// Whether the register before `size` points to as many bytes to be read and written as `size` may hold.
    pub fn check_kfunc_mem_size_reg(&mut self, memory: u8, size: u8) -> Rule {
        let saved = *self.reg(memory);
        self.without_null(memory, &saved);
        let mut meta = CallMeta::default();
        let checked = self
            .check_mem_size_reg(size, false, true, &mut meta)
            .and_then(|()| self.check_mem_size_reg(size, true, true, &mut meta));
        self.set_reg(memory, saved);
        checked
    }

    fn without_null(&mut self, regno: u8, saved: &Reg) {
        if saved.maybe_null() {
            let reg = self.not_null(saved);
            self.set_reg(regno, reg);
        }
    }

    /// Whether the register holds its pointer unmodified (a fixed offset is good where `fixed_off` says so).
    pub fn check_pointer_offset(&self, reg: &Reg, regno: u8, fixed_off: bool) -> Rule {
        let off = reg.off;
        let name = reg.type_name();
        let line = if off < 0 {
            format!("negative offset {name} ptr R{regno} off={off} disallowed")
        } else if !fixed_off && off != 0 {
            format!("dereference of modified {name} ptr R{regno} off={off} disallowed")
        } else if reg.num.as_const() != Some(0) {
            format!("variable {name} access var_off={} disallowed", reg.num.bits)
        } else {
            return Ok(());
        };
        Err(denied("verifier-modified-pointer", line))
    }
}
