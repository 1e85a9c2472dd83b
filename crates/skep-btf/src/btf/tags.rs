//! The declaration tags of a type, through an index that the first question builds.
//!
//! Invariant: tags come in ascending order of their ids; those of a base are not among them.

use std::sync::OnceLock;

use super::Btf;
use crate::kind::Kind;
use crate::ty::{Ty, TypeId};

#[derive(Default)]
pub(super) struct Tags(OnceLock<Box<[(TypeId, TypeId)]>>);

impl Btf {
    /// The tags of that type (or of its members and arguments) in this BTF.
    pub fn tags(&self, target: TypeId) -> impl Iterator<Item = TypeId> + '_ {
        let index = self.tags.0.get_or_init(|| {
            let tagged = |id: TypeId| match self.ty(id) {
                Ok(Ty::DeclTag { target, .. }) => Some((target, id)),
                _ => None,
            };
            let mut index: Vec<_> = self
                .own_ids()
                .filter(|id| self.kind(*id) == Ok(Kind::DeclTag))
                .filter_map(tagged)
                .collect();
            index.sort_unstable();
            index.into()
        });
        let from = index.partition_point(|(of, _)| *of < target);
        index[from..]
            .iter()
            .take_while(move |(of, _)| *of == target)
            .map(|(_, id)| *id)
    }

    /// Those of them whose text starts with `prefix`: which member or argument they are of (-1 for the type itself), and
    /// the rest of the text.
    pub fn tagged<'b>(
        &'b self,
        target: TypeId,
        prefix: &'b str,
    ) -> impl Iterator<Item = (i32, &'b str)> + 'b {
        self.tags(target).filter_map(move |id| {
            let (btf, at) = self.record(id).ok()?;
            if !btf.text_starts_with(btf.word(at), prefix) {
                return None;
            }
            match self.ty(id) {
                Ok(Ty::DeclTag {
                    value, component, ..
                }) => Some((component, value.strip_prefix(prefix)?)),
                _ => None,
            }
        })
    }
}
