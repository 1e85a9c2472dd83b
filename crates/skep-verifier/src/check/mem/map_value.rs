//! Values of maps: their range, what programs may do to the map, special fields, contents that never change; and the
//! fields of `struct bpf_map` behind a map pointer.

use skep_btf::Kind as BtfKind;
use skep_spec::map::{MapType, flags};

use super::btf_ptr::Loaded;
use super::{Access, denied};
use crate::fault::{Fault, Rule};
use crate::input::{BtfIdx, MapId, MapInfo};
use crate::record::FieldKind;
use crate::state::reg::{Flags, Kind, Reg};
use crate::verifier::Verifier;

const ENOTSUPP: i32 = 524;
const EPERM: i32 = 1;

impl Verifier<'_> {
    /// `PTR_TO_MAP_VALUE`
    pub(super) fn access_map_value(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        self.check_leak(access, "map")?;
        self.check_map_access_type(reg, off, access.size as i32, access.write)?;
        self.check_map_access(regno, off, access.size, false, false)?;
        let Some(map) = reg.map() else {
            return Ok(());
        };
        let fixed = reg
            .num
            .as_const()
            .map(|variable| (variable as i64).wrapping_add(i64::from(off)));
        if let Some(at) = fixed {
            let field = self.map_record_ref(map).and_then(|record| {
                let field = record.field_at(u32::try_from(at).ok()?)?;
                (field.kind.is_kptr() || field.kind == FieldKind::Uptr).then_some(*field)
            });
            if let Some(field) = field {
                return self.access_kptr(&field, access);
            }
        }
        if access.write || access.value.is_none() {
            return Ok(());
        }
        let known = fixed.and_then(|at| constant_value(self.map(map), at, access));
        self.loaded(access, known.map_or(Reg::UNKNOWN, Reg::constant));
        Ok(())
    }

    /// Whether programs may read or write the map's values.
    pub fn check_map_access_type(&self, reg: &Reg, off: i32, size: i32, write: bool) -> Rule {
        let Some(map) = reg.map() else {
            return Ok(());
        };
        let info = self.map(map);
        let (forbidden, what) = if write {
            (info.flags & flags::RDONLY_PROG != 0, "write into")
        } else {
            (
                info.flags & (flags::WRONLY_PROG | flags::RDONLY_PROG) == flags::WRONLY_PROG,
                "read from",
            )
        };
        if forbidden {
            return Err(denied(
                "verifier-map-forbidden",
                format!(
                    "{what} map forbidden, value_size={} off={off} size={size}",
                    info.value_size
                ),
            ));
        }
        Ok(())
    }

    /// Whether the bytes lie within the value and touch no special field; kernel pointers may be loaded and stored whole
    /// by the program, not by a helper.
    pub fn check_map_access(
        &self,
        regno: u8,
        off: i32,
        size: u32,
        zero_size_allowed: bool,
        helper: bool,
    ) -> Rule {
        let reg = self.reg(regno);
        let Some(map) = reg.map() else {
            return Ok(());
        };
        let value_size = self.map(map).value_size;
        let bytes = i32::try_from(size).unwrap_or(i32::MAX);
        self.check_mem_region(regno, reg, off, bytes, value_size, zero_size_allowed)?;
        let Some(record) = self.map_record_ref(map) else {
            return Ok(());
        };
        let first = reg.num.smin.wrapping_add(i64::from(off));
        let end = reg
            .num
            .umax
            .wrapping_add(i64::from(off) as u64)
            .wrapping_add(u64::from(size));
        for field in &record.fields {
            let (start, kind) = (field.offset, field.kind);
            if !(first < i64::from(start + field.size) && u64::from(start) < end) {
                continue;
            }
            let name = kind.name();
            let line = if !(kind.is_kptr() || kind == FieldKind::Uptr) {
                format!("{name} cannot be accessed directly by load/store")
            } else if helper {
                format!("{name} cannot be accessed indirectly by helper")
            } else {
                match reg.num.as_const() {
                    None => format!("{name} access cannot have variable offset"),
                    Some(variable) => {
                        let at = variable.wrapping_add(i64::from(off) as u64);
                        if u64::from(start) != at {
                            format!("{name} access misaligned expected={start} off={at}")
                        } else if size != 8 {
                            format!("{name} access size must be BPF_DW")
                        } else {
                            continue;
                        }
                    }
                }
            };
            return Err(denied("verifier-special-field", line));
        }
        Ok(())
    }

    /// `CONST_PTR_TO_MAP`: the fields of the kernel's own structure, read-only.
    pub(super) fn access_map_ptr(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        let info = reg.map().map(|map: MapId| self.map(map));
        let Some((info, btf)) = info.zip(self.input.btf(BtfIdx::KERNEL)) else {
            return Err(Fault::new(
                ENOTSUPP,
                "verifier-map-pointer-access",
                "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF",
            ));
        };
        let name = structure(info.map_type);
        let Some(id) = btf.find(BtfKind::Struct, name) else {
            return Err(Fault::new(
                ENOTSUPP,
                "verifier-map-pointer-access",
                format!(
                    "map_ptr access not supported for map type {}",
                    info.map_type.number()
                ),
            ));
        };
        if !self.allow.ptr_leaks {
            return Err(Fault::new(
                EPERM,
                "verifier-kernel-types-privileged",
                format!("'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN"),
            ));
        }
        if off < 0 {
            return Err(denied(
                "verifier-map-pointer-access",
                format!("R{regno} is {name} invalid negative access: off={off}"),
            ));
        }
        if access.write {
            return Err(denied(
                "verifier-read-only-memory",
                format!("only read from {name} is supported"),
            ));
        }
        let like = Reg::pointer(Kind::BtfId, Flags::NONE);
        let found = self.walk_type(&like, BtfIdx::KERNEL, id.0, off as u32, access.size)?;
        self.load_btf(
            access,
            BtfIdx::KERNEL,
            &found,
            match found {
                Loaded::Pointer { flags, .. } => flags,
                _ => Flags::NONE,
            },
        );
        Ok(())
    }
}

/// The bytes of a value that nobody can change any more, as a load makes a number of them.
fn constant_value(info: &MapInfo, at: i64, access: &Access) -> Option<u64> {
    if info.flags & flags::RDONLY_PROG == 0
        || info.map_type != MapType::Array
        || info.max_entries != 1
    {
        return None;
    }
    let bytes = info.frozen.as_deref()?;
    let at = usize::try_from(at).ok()?;
    let size = access.size as usize;
    let mut word = [0; 8];
    word.get_mut(..size)?
        .copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    let value = u64::from_le_bytes(word);
    if access.sign_extend {
        let unused = 64 - 8 * access.size;
        return Some((((value << unused) as i64) >> unused) as u64);
    }
    Some(value)
}

/// The kernel's structure of that kind of map.
const fn structure(map: MapType) -> &'static str {
    match map {
        MapType::Array
        | MapType::PercpuArray
        | MapType::ProgArray
        | MapType::PerfEventArray
        | MapType::CgroupArray
        | MapType::ArrayOfMaps => "bpf_array",
        MapType::Hash
        | MapType::PercpuHash
        | MapType::LruHash
        | MapType::LruPercpuHash
        | MapType::HashOfMaps => "bpf_htab",
        MapType::StackTrace => "bpf_stack_map",
        MapType::LpmTrie => "lpm_trie",
        MapType::Devmap | MapType::DevmapHash => "bpf_dtab",
        MapType::Sockmap => "bpf_stab",
        MapType::Sockhash => "bpf_shtab",
        MapType::Cpumap => "bpf_cpu_map",
        MapType::Xskmap => "xsk_map",
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => "bpf_cgroup_storage_map",
        MapType::ReuseportSockarray => "reuseport_array",
        MapType::Queue | MapType::Stack => "bpf_queue_stack",
        MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CgrpStorage => "bpf_local_storage_map",
        MapType::StructOps => "bpf_struct_ops_map",
        MapType::Ringbuf | MapType::UserRingbuf => "bpf_ringbuf_map",
        MapType::BloomFilter => "bpf_bloom_filter",
        MapType::Arena => "bpf_arena",
        _ => "bpf_map",
    }
}
