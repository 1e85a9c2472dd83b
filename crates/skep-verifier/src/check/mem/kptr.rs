//! Kernel pointers kept in map values: loads give typed pointers, stores must fit the field's type.

use skep_spec::insn::{class, mode};

use super::{Access, denied};
use crate::fault::Rule;
use crate::input::BtfIdx;
use crate::record::{FieldKind, RecordField};
use crate::state::name::type_name;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

/// The kernel's types whose objects live until the end of an RCU grace period.
const RCU_PROTECTED: [&str; 5] = [
    "prog_test_ref_kfunc",
    "cgroup",
    "bpf_cpumask",
    "task_struct",
    "bpf_crypto_ctx",
];

impl Verifier<'_> {
    /// A load or store of the pointer in that field; its place and width were checked.
    pub(super) fn access_kptr(&mut self, field: &RecordField, access: &Access) -> Rule {
        let insn = self.insns[self.insn_idx];
        let refuse = |line: String| Err(denied("verifier-kptr-access", line));
        if insn.code & mode::MASK != mode::MEM {
            return refuse(
                "kptr in map can only be accessed using BPF_MEM instruction mode".into(),
            );
        }
        let class = insn.code & class::MASK;
        if class != class::LDX {
            match field.kind {
                FieldKind::KptrRef | FieldKind::KptrPercpu => {
                    return refuse("store to referenced kptr disallowed".into());
                }
                FieldKind::Uptr => return refuse("store to uptr disallowed".into()),
                _ => {}
            }
        }
        let Some((btf, id)) = field.target else {
            return Ok(());
        };
        match class {
            class::LDX if field.kind == FieldKind::Uptr => {
                let size = self
                    .input
                    .btf(btf)
                    .and_then(|types| types.size_of(skep_btf::TypeId(id)).ok())
                    .unwrap_or(0);
                let reg = Reg::pointer(Kind::Mem, Flags::MAYBE_NULL)
                    .to(Detail::Mem { size, dynptr_id: 0 });
                let id = self.new_id();
                self.loaded(access, Reg { id, ..reg });
            }
            class::LDX => {
                let flags = self.kptr_flags(field);
                let reg = Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id });
                let id = self.new_id();
                self.loaded(access, Reg { id, ..reg });
            }
            class::STX => {
                if let Some(value) = access.value {
                    let reg = *self.reg(value);
                    if !reg.is_zero() {
                        self.check_kptr_match(field, &reg, value)?;
                    }
                }
            }
            class::ST => {
                if insn.imm != 0 {
                    return refuse(format!(
                        "BPF_ST imm must be 0 when storing to kptr at off={}",
                        field.offset
                    ));
                }
            }
            _ => {
                return refuse(
                    "kptr in map can only be accessed using BPF_LDX/BPF_STX/BPF_ST".into(),
                );
            }
        }
        Ok(())
    }

    /// What a load of such a field gives.
    pub fn kptr_flags(&self, field: &RecordField) -> Flags {
        let flags = Flags::MAYBE_NULL;
        let local = field.target.is_some_and(|(btf, _)| btf == BtfIdx::PROGRAM);
        if !(self.is_rcu_safe(field) && self.in_rcu_section()) {
            return flags.with(Flags::UNTRUSTED);
        }
        let mut flags = flags.with(Flags::RCU);
        // What may lie in a collection is not the program's, as long as it only looks.
        if let Some((btf, id)) = field.target
            && self
                .type_record(btf, id)
                .is_some_and(|record| record.has_graph_node())
        {
            flags = flags.with(Flags::NON_OWN_REF);
        }
        if field.kind == FieldKind::KptrPercpu {
            flags.with(Flags::PERCPU)
        } else if local {
            flags.with(Flags::ALLOC)
        } else {
            flags
        }
    }

    /// Whether what the field points to stays while in an RCU section.
    fn is_rcu_safe(&self, field: &RecordField) -> bool {
        match (field.kind, field.target) {
            (FieldKind::KptrPercpu, _) => true,
            (FieldKind::KptrRef, Some((btf, id))) => self.is_rcu_protected(btf, id),
            _ => false,
        }
    }

    /// Whether objects of that type live until the end of an RCU grace period.
    pub fn is_rcu_protected(&self, btf: BtfIdx, id: u32) -> bool {
        btf == BtfIdx::PROGRAM || RCU_PROTECTED.contains(&self.type_word(btf, id))
    }

    /// Whether the register may be put into that field, by a store or an exchange.
    pub fn check_kptr_match(&self, field: &RecordField, reg: &Reg, regno: u8) -> Rule {
        let Some((target_btf, target)) = field.target else {
            return Ok(());
        };
        let mut name = "";
        let mut fits = false;
        if let (Kind::BtfId, Detail::Btf { btf, id }) = (reg.kind, reg.detail) {
            let mut allowed = if btf != BtfIdx::PROGRAM {
                let flags = Flags::MAYBE_NULL.with(Flags::TRUSTED).with(Flags::RCU);
                if field.kind == FieldKind::KptrUnref {
                    flags.with(Flags::UNTRUSTED)
                } else {
                    flags
                }
            } else {
                Flags::MAYBE_NULL.with(Flags::ALLOC)
            };
            if btf == BtfIdx::PROGRAM && field.kind == FieldKind::KptrPercpu {
                allowed = allowed.with(Flags::PERCPU);
            }
            if reg.flags.without(allowed) == Flags::NONE {
                name = self.type_word(btf, id);
                self.check_pointer_offset(reg, regno, true)?;
                fits = u32::try_from(reg.off).is_ok_and(|off| {
                    self.struct_ids_match(
                        (btf, id),
                        off,
                        (target_btf, target),
                        field.kind != FieldKind::KptrUnref,
                    )
                });
            }
        }
        if fits {
            return Ok(());
        }
        let target = self.type_word(target_btf, target);
        let plain = type_name(Kind::BtfId, Flags::NONE);
        let or = if field.kind == FieldKind::KptrUnref {
            let untrusted = type_name(Kind::BtfId, Flags::UNTRUSTED);
            format!(" or {untrusted}{target}")
        } else {
            String::new()
        };
        Err(denied(
            "verifier-kptr-type",
            format!(
                "invalid kptr access, R{regno} type={}{name} expected={plain}{target}{or}",
                reg.type_name()
            ),
        ))
    }
}
