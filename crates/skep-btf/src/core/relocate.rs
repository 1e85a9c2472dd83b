//! Computing a relocation: candidates in the target, the value in each, and their agreement.
//!
//! Invariants: a root type has one candidate set for the life of a [`Relocator`]; a relocation that matches some of the
//! candidates drops the others for all that follow, so no program mixes two layouts. Where several remain, they must give the
//! same value for everything that is asked.

use std::collections::HashMap;
use std::sync::Arc;

use skep_spec::insn::{Endian, Insn};

use super::compat::kinds_compatible;
use super::error::CoreError;
use super::kind::CoreKind;
use super::patch::Patched;
use super::path::{Dead, Path, Step, type_words};
use crate::btf::Btf;
use crate::error::BtfError;
use crate::ext::CoreRelo;
use crate::kind::Kind;
use crate::ty::{Ty, TypeId};

/// A type in the target that has the name of a local root type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    target: usize,
    id: TypeId,
}

/// How wide the accessed field is for the compiler and in the target, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemSize {
    pub local: u32,
    pub target: u32,
    /// Whether a load or store may simply be made narrower or wider: pointers and unsigned integers.
    pub adjustable: bool,
}

/// What a relocation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub kind: CoreKind,
    /// What was asked, as C writes it: `struct task_struct.comm`.
    pub what: String,
    /// The value the compiler wrote; checked against the instruction where `check` is set.
    pub local: u64,
    pub check: bool,
    /// The value in the target.
    pub value: u64,
    /// Whether the target has the type, field or enumerator.
    pub exists: bool,
    /// Set if there is no value: the instruction must never be reached. Names what is missing.
    pub poison: Option<String>,
    /// Set for a field's offset if its size differs.
    pub mem: Option<MemSize>,
    /// The target (by its place in the list given) and the type of it that was used.
    pub target: Option<(usize, TypeId)>,
}

impl Resolved {
    /// Writes the value into the instruction at index `at`: see [`Relocator::patch`].
    pub fn patch(&self, insns: &mut [Insn], at: usize) -> Result<Patched, CoreError> {
        super::patch::patch(self, insns, at)
    }
}

/// Relocates the programs of one object against one target.
pub struct Relocator<'a> {
    local: &'a Btf,
    targets: &'a [Arc<Btf>],
    candidates: HashMap<TypeId, Vec<Candidate>>,
}

/// A value with what goes with it.
#[derive(Clone, Copy, Default)]
struct Value {
    value: u64,
    check: bool,
    /// Size in bytes and type of the field at this offset.
    field: Option<(u32, TypeId)>,
}

impl<'a> Relocator<'a> {
    /// `local` are the object's own types. `targets` are what to relocate against: the kernel's types first, then, for types
    /// that it does not have, those of modules (split BTF) or others.
    pub fn new(local: &'a Btf, targets: &'a [Arc<Btf>]) -> Relocator<'a> {
        Relocator {
            local,
            targets,
            candidates: HashMap::new(),
        }
    }

    /// Computes a relocation. What the target lacks is no error: the answer is then "does not exist" or poison.
    pub fn resolve(&mut self, relo: &CoreRelo) -> Result<Resolved, CoreError> {
        let words = || format!("{} ({})", type_words(self.local, relo.type_id), relo.kind);
        let fail = |dead: Dead| match dead {
            Dead::Btf(error) => CoreError::Btf {
                what: words(),
                error,
            },
            Dead::Why(why) => CoreError::Invalid { what: words(), why },
        };
        // Qualifiers have no name to search by; what they qualify has.
        let root = self
            .local
            .unqualified(relo.type_id)
            .map_err(|error| fail(error.into()))?;
        let path = Path::local(self.local, root, &relo.access, relo.kind).map_err(fail)?;
        let local = self
            .value(relo.kind, &path)
            .map_err(fail)?
            .unwrap_or_default();
        let mut resolved = Resolved {
            kind: relo.kind,
            what: path.words(),
            local: local.value,
            check: local.check,
            value: 0,
            exists: false,
            poison: None,
            mem: None,
            target: None,
        };
        if relo.kind == CoreKind::TypeIdLocal {
            // The id as the object's BTF is now, which a linker may have renumbered.
            return Ok(Resolved {
                local: u64::from(relo.type_id.0),
                value: u64::from(relo.type_id.0),
                exists: true,
                ..resolved
            });
        }
        if self.local.name(root).is_empty() {
            return Err(fail(Dead::Why(
                "the type has no name to be found by".into(),
            )));
        }

        let all = match self.candidates.get(&root) {
            Some(candidates) => candidates.clone(),
            None => self.find(root),
        };
        let mut fitting: Vec<Candidate> = Vec::new();
        let mut chosen: Option<(Value, Path<'_>, Candidate)> = None;
        let mut reasons = Vec::new();
        for &candidate in &all {
            let target = &*self.targets[candidate.target];
            let there = match path.follow(relo.kind, target, candidate.id) {
                Ok(there) => there,
                Err(Dead::Why(why)) => {
                    reasons.push(why);
                    continue;
                }
                Err(error) => return Err(fail(error)),
            };
            let value = self
                .value(relo.kind, &there)
                .map_err(fail)?
                .unwrap_or_default();
            fitting.push(candidate);
            match &chosen {
                Some((first, first_path, first_candidate))
                    if first.value != value.value || first_path.bit_offset != there.bit_offset =>
                {
                    return Err(CoreError::Ambiguous {
                        what: path.words(),
                        first: layout_words(relo.kind, first_path, first.value, *first_candidate),
                        second: layout_words(relo.kind, &there, value.value, candidate),
                    });
                }
                Some(_) => {}
                None => chosen = Some((value, there, candidate)),
            }
        }
        match chosen {
            Some((value, there, candidate)) => {
                resolved.value = value.value;
                resolved.exists = true;
                resolved.target = Some((candidate.target, candidate.id));
                resolved.mem = self
                    .mem(relo.kind, local.field, value.field, there.btf)
                    .map_err(|error| fail(error.into()))?;
            }
            None => {
                let has_value = matches!(
                    relo.kind,
                    CoreKind::FieldExists
                        | CoreKind::EnumvalExists
                        | CoreKind::TypeExists
                        | CoreKind::TypeMatches
                ) || relo.kind.is_type();
                if !has_value {
                    let why = match reasons.first() {
                        Some(reason) => reason.clone(),
                        None => format!("it has no {}", type_words(self.local, root)),
                    };
                    resolved.poison = Some(format!(
                        "{} does not exist in the target: {why}",
                        path.words()
                    ));
                }
            }
        }
        let keep = if fitting.is_empty() { all } else { fitting };
        self.candidates.insert(root, keep);
        Ok(resolved)
    }

    /// Resolves a relocation and writes it into the instruction at index `at`.
    ///
    /// An instruction whose value does not exist is replaced by a call to the helper that does not exist
    /// ([`super::POISON_IMM`]), as libbpf does; the answer then says why, for whoever finds the instruction reachable.
    pub fn patch(
        &self,
        insns: &mut [Insn],
        at: usize,
        resolved: &Resolved,
    ) -> Result<Patched, CoreError> {
        resolved.patch(insns, at)
    }

    /// All target types that have the root's name (flavours aside) and kind: those of the first target, or else of the others.
    fn find(&self, root: TypeId) -> Vec<Candidate> {
        let name = self.local.name(root);
        let kind = self.local.kind(root).unwrap_or(Kind::Void);
        let of = |target: usize, base: bool| {
            let btf = &*self.targets[target];
            let ids = if base {
                all_essentially_named(btf, name)
            } else {
                btf.own_essentially_named(name)
            };
            ids.into_iter()
                .filter(move |&id| {
                    btf.kind(id)
                        .is_ok_and(|found| kinds_compatible(kind, found))
                })
                .map(move |id| Candidate { target, id })
        };
        let mut found: Vec<Candidate> = Vec::new();
        if !self.targets.is_empty() {
            found.extend(of(0, true));
        }
        if found.is_empty() {
            for target in 1..self.targets.len() {
                found.extend(of(target, false));
            }
        }
        found
    }

    /// The value of a path; `None` where there is nothing to compute.
    fn value(&self, kind: CoreKind, path: &Path<'_>) -> Result<Option<Value>, Dead> {
        let btf = path.btf;
        let plain = |value: u64, check: bool| {
            Ok(Some(Value {
                value,
                check,
                field: None,
            }))
        };
        match kind {
            CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => plain(u64::from(path.root.0), false),
            CoreKind::TypeExists
            | CoreKind::TypeMatches
            | CoreKind::FieldExists
            | CoreKind::EnumvalExists => plain(1, true),
            CoreKind::TypeSize => plain(u64::from(btf.size_of(path.root)?), true),
            CoreKind::EnumvalValue => match path.steps.last() {
                Some(&Step::Value { value, .. }) => plain(value, true),
                _ => Ok(None),
            },
            _ => self.field(kind, path).map(Some),
        }
    }

    fn field(&self, kind: CoreKind, path: &Path<'_>) -> Result<Value, Dead> {
        let btf = path.btf;
        let member = match path.steps.last() {
            Some(&Step::Member(member)) => member,
            Some(&Step::Element { ty, .. }) => {
                let value = match kind {
                    CoreKind::FieldByteOffset => {
                        let size = element_size(btf, ty)?;
                        return Ok(Value {
                            value: u64::from(path.bit_offset / 8),
                            check: true,
                            field: Some(size),
                        });
                    }
                    CoreKind::FieldByteSize => btf.size_of(ty)?,
                    _ => return Err(Dead::Why(format!("an array element has no {kind}"))),
                };
                return Ok(Value {
                    value: u64::from(value),
                    check: true,
                    field: None,
                });
            }
            _ => return Err(Dead::Why("the access path leads to no field".into())),
        };
        let bitfield = member.bitfield_size != 0;
        let (resolved, ty) = btf.resolved(member.ty)?;
        let bit_off = u64::from(path.bit_offset);
        let (byte_off, byte_size, bit_size) = if bitfield {
            let bits = u64::from(member.bitfield_size);
            let mut size = u64::from(btf.size_of(resolved)?).max(1);
            let mut from = bit_off / 8 / size * size;
            // A bit-field may straddle units of its type: read it through wider ones.
            while bit_off + bits - from * 8 > size * 8 {
                if size >= 8 {
                    return Err(Dead::Why(
                        "the bit-field does not fit one aligned 8-byte load".into(),
                    ));
                }
                size *= 2;
                from = bit_off / 8 / size * size;
            }
            (from, size, bits)
        } else {
            let size = match kind {
                CoreKind::FieldByteOffset => btf.size_of(resolved).unwrap_or(0),
                _ => btf.size_of(resolved)?,
            };
            (bit_off / 8, u64::from(size), u64::from(size) * 8)
        };
        let value = match kind {
            CoreKind::FieldByteOffset => byte_off,
            CoreKind::FieldByteSize => byte_size,
            CoreKind::FieldSigned => u64::from(match ty {
                Ty::Int(int) => int.encoding.signed,
                Ty::Enum(enumeration) | Ty::Enum64(enumeration) => enumeration.signed,
                _ => false,
            }),
            CoreKind::FieldLShiftU64 => match self.local.endian() {
                Endian::Little => 64_u64.wrapping_sub(bit_off + bit_size - byte_off * 8),
                Endian::Big => 8_u64
                    .wrapping_sub(byte_size)
                    .wrapping_mul(8)
                    .wrapping_add(bit_off - byte_off * 8),
            },
            CoreKind::FieldRShiftU64 => 64_u64.wrapping_sub(bit_size),
            _ => return Err(Dead::Why(format!("{kind} is not about a field"))),
        };
        let field = match kind {
            CoreKind::FieldByteOffset if !bitfield => element_size(btf, resolved).ok(),
            _ => None,
        };
        // Which unit a bit-field is read through is the compiler's choice, so its value may be another one.
        let check = !bitfield || matches!(kind, CoreKind::FieldSigned | CoreKind::FieldRShiftU64);
        Ok(Value {
            value,
            check,
            field,
        })
    }

    fn mem(
        &self,
        kind: CoreKind,
        local: Option<(u32, TypeId)>,
        target: Option<(u32, TypeId)>,
        btf: &Btf,
    ) -> Result<Option<MemSize>, BtfError> {
        let (CoreKind::FieldByteOffset, Some((from, local)), Some((to, target))) =
            (kind, local, target)
        else {
            return Ok(None);
        };
        if from == to {
            return Ok(None);
        }
        let adjustable = match (self.local.resolved(local)?.1, btf.resolved(target)?.1) {
            (Ty::Ptr { .. }, Ty::Ptr { .. }) => true,
            (Ty::Int(local), Ty::Int(target)) => !local.encoding.signed && !target.encoding.signed,
            _ => false,
        };
        Ok(Some(MemSize {
            local: from,
            target: to,
            adjustable,
        }))
    }
}

/// The size and type of what one load of a field reads: of an array, its first element.
fn element_size(btf: &Btf, id: TypeId) -> Result<(u32, TypeId), BtfError> {
    let mut at = btf.resolve(id)?;
    for _ in 0..crate::btf::DEPTH_MAX {
        match btf.ty(at)? {
            Ty::Array { elem, .. } => at = btf.resolve(elem)?,
            _ => return Ok((btf.size_of(at)?, at)),
        }
    }
    Err(BtfError::TooDeep { id })
}

fn all_essentially_named(btf: &Btf, name: &str) -> Vec<TypeId> {
    let mut found = btf
        .base()
        .map_or_else(Vec::new, |base| all_essentially_named(base, name));
    found.extend(btf.own_essentially_named(name));
    found
}

fn layout_words(kind: CoreKind, path: &Path<'_>, value: u64, candidate: Candidate) -> String {
    let words = path.words();
    let id = candidate.id.0;
    match kind {
        CoreKind::TypeIdTarget => format!("{words} is type {id}"),
        CoreKind::TypeSize => format!("{words} (type {id}) has {value} bytes"),
        CoreKind::EnumvalValue => format!("{words} (of type {id}) is {}", value as i64),
        _ => format!(
            "{words} (of type {id}) is at bit {} with {kind} {value}",
            path.bit_offset
        ),
    }
}
