//! Access paths: from a root type through members and array elements to a field, an enumerator, or the type itself.
//!
//! Invariants: a path holds *named* members and array elements only; anonymous structs on the way count in `bit_offset` alone,
//! so a local path can be followed in a target that nests differently. At most [`STEPS_MAX`] steps.

use std::fmt::Write as _;

use super::compat::{Compare, names_equal};
use super::kind::CoreKind;
use crate::btf::Btf;
use crate::error::BtfError;
use crate::ty::{Member, Ty, TypeId};

const STEPS_MAX: usize = 64;
const MEMBERS_MAX: u32 = 1 << 20;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Element `index` of an array of `ty` (or of the pointed-to root type, as the first step).
    Element { ty: TypeId, index: u32 },
    /// A member of a struct or union.
    Member(Member<'a>),
    /// An enumerator.
    Value { name: &'a str, value: u64 },
}

/// A path in one BTF.
#[derive(Clone, Debug)]
pub(super) struct Path<'a> {
    pub(super) btf: &'a Btf,
    pub(super) root: TypeId,
    pub(super) steps: Vec<Step<'a>>,
    /// Where the field is, from the start of the root.
    pub(super) bit_offset: u32,
}

/// Why a path cannot be read, or does not lead anywhere in a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    Btf(BtfError),
    Why(String),
}

impl From<BtfError> for Dead {
    fn from(error: BtfError) -> Dead {
        Dead::Btf(error)
    }
}

/// `struct task_struct`, `enum pid_type`, `pid_t`: as C names the type.
pub(super) fn type_words(btf: &Btf, id: TypeId) -> String {
    let name = match btf.name(id) {
        "" => "(anonymous)",
        name => name,
    };
    match btf.ty(id) {
        Ok(Ty::Struct(_)) => format!("struct {name}"),
        Ok(Ty::Union(_)) => format!("union {name}"),
        Ok(Ty::Enum(_) | Ty::Enum64(_)) => format!("enum {name}"),
        Ok(Ty::Fwd { union, .. }) => format!("{} {name}", if union { "union" } else { "struct" }),
        Ok(Ty::Ptr { target }) => match btf.ty(target) {
            Ok(Ty::Ptr { .. }) | Err(_) => "a pointer".into(),
            Ok(Ty::Void) => "void *".into(),
            Ok(_) => format!(
                "{} *",
                type_words(btf, btf.unqualified(target).unwrap_or(TypeId::VOID))
            ),
        },
        Ok(Ty::Array { len, .. }) => format!("an array of {len}"),
        Ok(Ty::FuncProto { .. }) => "a function".into(),
        Ok(Ty::Void) => "void".into(),
        _ => name.into(),
    }
}

impl<'a> Path<'a> {
    /// The path that a relocation's access string describes in the object's own types.
    pub(super) fn local(
        btf: &'a Btf,
        root: TypeId,
        access: &str,
        kind: CoreKind,
    ) -> Result<Path<'a>, Dead> {
        let bad = |why: &str| Dead::Why(format!("{why} (access string {access:?})"));
        let mut indexes = Vec::new();
        for part in access.split(':') {
            if indexes.len() == STEPS_MAX {
                return Err(bad("the access path is too long"));
            }
            indexes.push(
                part.parse::<u32>()
                    .map_err(|_| bad("the access path is not numbers between colons"))?,
            );
        }
        let (&first, rest) = indexes
            .split_first()
            .ok_or_else(|| bad("the access path is empty"))?;
        let mut path = Path {
            btf,
            root,
            steps: Vec::new(),
            bit_offset: 0,
        };
        if kind.is_type() {
            return if access == "0" {
                Ok(path)
            } else {
                Err(bad("a relocation of a whole type has an access path"))
            };
        }
        let (resolved, ty) = btf.resolved(root)?;
        if kind.is_enumval() {
            let value = ty
                .enumeration()
                .and_then(|enumeration| enumeration.values.get(first as usize));
            let value = value
                .filter(|_| rest.is_empty())
                .ok_or_else(|| bad("no such enumerator"))?;
            path.steps.push(Step::Value {
                name: value.name,
                value: value.value,
            });
            return Ok(path);
        }

        path.element(resolved, first)?;
        let mut at = resolved;
        // The member walked last, to know whether an array is the flexible end of its struct.
        let mut last: Option<(usize, usize)> = None;
        for &index in rest {
            let (id, ty) = btf.resolved(at)?;
            if let Some(composite) = ty.composite() {
                let member = composite
                    .members
                    .get(index as usize)
                    .ok_or_else(|| bad("no such member"))?;
                last = Some((index as usize, composite.members.len()));
                path.advance(member.bit_offset)?;
                if !member.name.is_empty() {
                    path.steps.push(Step::Member(member));
                }
                at = member.ty;
            } else if let Ty::Array { elem, len, .. } = ty {
                let flexible =
                    len == 0 && last.is_some_and(|(index, members)| index + 1 == members);
                if index >= len && !flexible {
                    return Err(bad("an array element beyond the end"));
                }
                let elem = btf.resolve(elem)?;
                path.element(elem, index)?;
                at = elem;
                last = None;
            } else {
                return Err(bad(&format!("{} has no members", type_words(btf, id))));
            }
        }
        Ok(path)
    }

    fn advance(&mut self, bits: u32) -> Result<(), BtfError> {
        let too_large = BtfError::TooLarge { id: self.root };
        self.bit_offset = self.bit_offset.checked_add(bits).ok_or(too_large)?;
        Ok(())
    }

    fn element(&mut self, ty: TypeId, index: u32) -> Result<(), BtfError> {
        let bits = u64::from(self.btf.size_of(ty)?) * 8 * u64::from(index);
        self.advance(u32::try_from(bits).map_err(|_| BtfError::TooLarge { id: ty })?)?;
        self.steps.push(Step::Element { ty, index });
        Ok(())
    }

    /// Follows this local path, by name, from `root` in a target.
    pub(super) fn follow<'t>(
        &self,
        kind: CoreKind,
        btf: &'t Btf,
        root: TypeId,
    ) -> Result<Path<'t>, Dead> {
        let mut path = Path {
            btf,
            root,
            steps: Vec::new(),
            bit_offset: 0,
        };
        let mut compare = Compare::new(self.btf, btf);
        let words = |id: TypeId| type_words(btf, id);
        if kind.is_type() {
            let same = match kind {
                CoreKind::TypeMatches => compare.matches(self.root, root, false, 0)?,
                _ => compare.types(self.root, root, 0)?,
            };
            return if same {
                Ok(path)
            } else {
                Err(Dead::Why(format!("its {} is another type", words(root))))
            };
        }
        let (resolved, ty) = btf.resolved(root)?;
        if let [Step::Value { name: wanted, .. }] = self.steps[..] {
            let Some(enumeration) = ty.enumeration() else {
                return Err(Dead::Why(format!("its {} is no enum", words(root))));
            };
            let Some(value) = enumeration
                .values
                .iter()
                .find(|value| names_equal(wanted, value.name))
            else {
                return Err(Dead::Why(format!("its {} has no {wanted}", words(root))));
            };
            path.steps.push(Step::Value {
                name: value.name,
                value: value.value,
            });
            return Ok(path);
        }

        let mut at = resolved;
        let mut flexible = false;
        let mut budget = MEMBERS_MAX;
        for (number, step) in self.steps.iter().enumerate() {
            match *step {
                Step::Element { index, .. } if number == 0 => path.element(at, index)?,
                Step::Element { index, .. } => {
                    let Ty::Array { elem, len, .. } = btf.resolved(at)?.1 else {
                        return Err(Dead::Why(format!("its {} is no array", path.words())));
                    };
                    if index >= len && !(len == 0 && flexible) {
                        return Err(Dead::Why(format!(
                            "its {} has only {len} elements",
                            path.words()
                        )));
                    }
                    at = btf.resolve(elem)?;
                    path.element(at, index)?;
                    flexible = false;
                }
                Step::Member(wanted) => {
                    let Some(found) = find_member(btf, at, wanted.name, 0, 0, &mut budget)? else {
                        return Err(Dead::Why(format!(
                            "its {} has no member {}",
                            path.words(),
                            wanted.name
                        )));
                    };
                    if !compare.fields(wanted.ty, found.member.ty)? {
                        let kind = btf.resolve(found.member.ty).map(words).unwrap_or_default();
                        let name = wanted.name;
                        return Err(Dead::Why(format!(
                            "its {}.{name} is of another type, {kind}",
                            path.words()
                        )));
                    }
                    path.advance(found.bit_offset)?;
                    path.steps.push(Step::Member(found.member));
                    flexible = found.last;
                    at = found.member.ty;
                }
                Step::Value { .. } => return Err(Dead::Why("an enumerator within a path".into())),
            }
        }
        Ok(path)
    }

    /// The path as C writes it: `struct task_struct.se.run_node[2]`.
    pub(super) fn words(&self) -> String {
        let mut words = type_words(self.btf, self.root);
        for (number, step) in self.steps.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Element { index: 0, .. } if number == 0 => Ok(()),
                Step::Element { index, .. } => write!(words, "[{index}]"),
                Step::Member(member) => write!(words, ".{}", member.name),
                Step::Value { name, .. } => write!(words, " {name}"),
            };
        }
        words
    }
}

struct Found<'a> {
    member: Member<'a>,
    bit_offset: u32,
    /// Whether it is the last member of its struct, where an array of length 0 is a flexible one.
    last: bool,
}

/// A member by name, looking into anonymous structs and unions.
fn find_member<'a>(
    btf: &'a Btf,
    id: TypeId,
    name: &str,
    from: u32,
    depth: usize,
    budget: &mut u32,
) -> Result<Option<Found<'a>>, BtfError> {
    if depth > STEPS_MAX {
        return Err(BtfError::TooDeep { id });
    }
    let Some(composite) = btf.resolved(id)?.1.composite() else {
        return Ok(None);
    };
    for (index, member) in composite.members.iter().enumerate() {
        *budget = budget.checked_sub(1).ok_or(BtfError::TooDeep { id })?;
        let bit_offset = from
            .checked_add(member.bit_offset)
            .ok_or(BtfError::TooLarge { id })?;
        if member.name.is_empty() {
            if let Some(found) = find_member(btf, member.ty, name, bit_offset, depth + 1, budget)? {
                return Ok(Some(found));
            }
        } else if member.name == name {
            return Ok(Some(Found {
                member,
                bit_offset,
                last: index + 1 == composite.members.len(),
            }));
        }
    }
    Ok(None)
}
