//! `bpf_kptr_xchg`: which slot of a map value or object it exchanges, and what it gives back.
//!
//! Invariant: only slots for references are exchanged; loads and stores of slots are in `mem`.

use skep_btf::TypeId;

use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::record::{FieldKind, RecordField};
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
const EACCES: i32 = 13;
impl Verifier<'_> {
    /// The name of a type.
    pub(crate) fn btf_type_name(&self, btf: BtfIdx, id: u32) -> &str {
        self.input
            .btf(btf)
            .map_or("", |types| types.name(TypeId(id)))
    }

    /// The first argument of `bpf_kptr_xchg`: the slot that it exchanges.
    pub fn process_kptr_slot(&self, regno: u8) -> Rule<RecordField> {
        let reg = self.reg(regno);
        let refused = |errno, line: String| Err(Fault::new(errno, "verifier-kptr-slot", line));
        if reg.kind == Kind::MapValue
            && let Some(map) = reg.map()
        {
            let info = self.map(map);
            if info.value_type.is_none() || self.input.program_btf.is_none() {
                return refused(
                    EINVAL,
                    format!(
                        "map '{}' has to have BTF in order to use bpf_kptr_xchg",
                        info.name
                    ),
                );
            }
        }
        let record = self.reg_record(reg);
        let Some(variable) = reg.num.as_const() else {
            return refused(
                EINVAL,
                format!(
                    "R{regno} doesn't have constant offset. kptr has to be at the constant offset"
                ),
            );
        };
        let kptrs = [
            FieldKind::KptrUnref,
            FieldKind::KptrRef,
            FieldKind::KptrPercpu,
        ];
        let Some(record) = record.filter(|record| kptrs.iter().any(|&kind| record.has(kind)))
        else {
            return refused(EINVAL, format!("R{regno} has no valid kptr"));
        };
        let off = i64::from(reg.off).wrapping_add(variable as i64) as u32;
        let Some(field) = record
            .find(off, FieldKind::KptrRef)
            .filter(|field| field.offset == off)
        else {
            return refused(EACCES, format!("off={} doesn't point to kptr", off as i32));
        };
        if field.kind == FieldKind::KptrUnref {
            return refused(
                EACCES,
                format!("off={} kptr isn't referenced kptr", off as i32),
            );
        }
        Ok(*field)
    }

    /// What `bpf_kptr_xchg` gives back, without its reference.
    pub fn exchanged_kptr(&self, field: &RecordField) -> Reg {
        let (btf, id) = field.target.unwrap_or((BtfIdx::KERNEL, 0));
        let mut flags = Flags::MAYBE_NULL;
        if btf == BtfIdx::PROGRAM {
            flags = flags.with(Flags::ALLOC);
            if field.kind == FieldKind::KptrPercpu {
                flags = flags.with(Flags::PERCPU);
            }
        }
        Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id })
    }
}
