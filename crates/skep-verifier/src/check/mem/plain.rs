//! Memory with a size and nothing else to it: map keys, plain memory, buffers; and the range check that all share.

use super::{Access, cannot_write, denied, invalid_mem_access};
use crate::fault::Rule;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

/// Variable offsets are below this (`BPF_MAX_VAR_OFF`).
pub(crate) const VAR_OFF_MAX: i64 = 1 << 29;

impl Verifier<'_> {
    /// Whether `size` bytes at `off`, the variable part of `reg` coming on top, lie within `mem_size` bytes.
    pub fn check_mem_region(
        &self,
        regno: u8,
        reg: &Reg,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_size_allowed: bool,
    ) -> Rule {
        let num = &reg.num;
        let lowest = i64::from(off).wrapping_add(num.smin);
        if num.smin < 0 && (num.smin == i64::MIN || i32::try_from(lowest).is_err() || lowest < 0) {
            return Err(negative_index(regno));
        }
        check_range(
            regno,
            reg,
            (num.smin as i32).wrapping_add(off),
            size,
            mem_size,
            zero_size_allowed,
        )
        .map_err(|fault| {
            fault.and(format!(
                "R{regno} min value is outside of the allowed memory range"
            ))
        })?;
        if num.umax >= VAR_OFF_MAX as u64 {
            return Err(denied(
                "verifier-unbounded-access",
                format!(
                    "R{regno} unbounded memory access, make sure to bounds check any such access"
                ),
            ));
        }
        check_range(
            regno,
            reg,
            (num.umax as i32).wrapping_add(off),
            size,
            mem_size,
            zero_size_allowed,
        )
        .map_err(|fault| {
            fault.and(format!(
                "R{regno} max value is outside of the allowed memory range"
            ))
        })
    }

    /// `PTR_TO_MEM`
    pub(super) fn access_mem(&mut self, regno: u8, reg: &Reg, off: i32, access: &Access) -> Rule {
        let rdonly = reg.flags.has(Flags::RDONLY);
        if reg.maybe_null() {
            return Err(invalid_mem_access(regno, reg));
        }
        if access.write && rdonly {
            return Err(cannot_write(regno, reg));
        }
        self.check_leak(access, "mem")?;
        // Loads from untrusted memory are probed, wherever they go.
        if !(rdonly && reg.flags.has(Flags::UNTRUSTED)) {
            self.check_mem_region(regno, reg, off, access.size as i32, mem_size(reg), false)?;
        }
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }

    /// `PTR_TO_MAP_KEY`
    pub(super) fn access_map_key(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        if access.write {
            return Err(denied(
                "verifier-map-key-written",
                format!("write to change key R{regno} not allowed"),
            ));
        }
        let key_size = reg.map().map_or(0, |map| self.map(map).key_size);
        self.check_mem_region(regno, reg, off, access.size as i32, key_size, false)?;
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }

    /// `PTR_TO_TP_BUFFER`
    pub(super) fn access_tp_buffer(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        check_buffer("tracepoint", regno, reg, off, access.size)?;
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }

    /// `PTR_TO_BUF`
    pub(super) fn access_buf(&mut self, regno: u8, reg: &Reg, off: i32, access: &Access) -> Rule {
        if access.write && reg.flags.has(Flags::RDONLY) {
            return Err(cannot_write(regno, reg));
        }
        check_buffer(buffer_name(reg), regno, reg, off, access.size)?;
        self.loaded(access, Reg::UNKNOWN);
        Ok(())
    }
}

/// The bytes of a [`Kind::Mem`].
pub(crate) fn mem_size(reg: &Reg) -> u32 {
    match reg.detail {
        Detail::Mem { size, .. } => size,
        _ => 0,
    }
}

/// What messages call a [`Kind::Buf`].
pub(crate) fn buffer_name(reg: &Reg) -> &'static str {
    if reg.flags.has(Flags::RDONLY) {
        "rdonly"
    } else {
        "rdwr"
    }
}

/// A buffer whose size is known only where the program is attached takes any fixed offset.
pub(crate) fn check_buffer(name: &str, regno: u8, reg: &Reg, off: i32, size: u32) -> Rule {
    if off < 0 {
        return Err(denied(
            "verifier-buffer-bounds",
            format!("R{regno} invalid {name} buffer access: off={off}, size={size}"),
        ));
    }
    if reg.num.as_const() != Some(0) {
        return Err(denied(
            "verifier-buffer-bounds",
            format!(
                "R{regno} invalid variable buffer offset: off={off}, var_off={}",
                reg.num.bits
            ),
        ));
    }
    Ok(())
}

/// Whether the bytes lie within the memory.
pub(crate) fn check_range(
    regno: u8,
    reg: &Reg,
    off: i32,
    size: i32,
    mem_size: u32,
    zero_size_allowed: bool,
) -> Rule {
    let size_ok = size > 0 || size == 0 && zero_size_allowed;
    if off >= 0 && size_ok && i64::from(off) + i64::from(size) <= i64::from(mem_size) {
        return Ok(());
    }
    Err(denied(
        "verifier-out-of-bounds",
        match reg.kind {
            Kind::MapKey => {
                format!("invalid access to map key, key_size={mem_size} off={off} size={size}")
            }
            Kind::MapValue => {
                format!("invalid access to map value, value_size={mem_size} off={off} size={size}")
            }
            Kind::Packet | Kind::PacketMeta | Kind::PacketEnd => format!(
                "invalid access to packet, off={off} size={size}, R{regno}(id={},off={off},r={})",
                reg.id, mem_size as i32
            ),
            _ => format!("invalid access to memory, mem_size={mem_size} off={off} size={size}"),
        },
    ))
}

/// The index may be negative.
#[cold]
pub(crate) fn negative_index(regno: u8) -> Box<crate::fault::Fault> {
    denied(
        "verifier-negative-index",
        format!(
            "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check."
        ),
    )
}
