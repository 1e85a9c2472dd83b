//! Externs of a text object: configuration values, kernel symbols, kfuncs, and the data sections that BTF lists them in.
//!
//! Invariant: configuration values lie one after the other in `.kconfig`, each aligned to 8 bytes.

use skep_btf::build::{SecVarDef, TypeDef};
use skep_btf::parse_c::Declared;
use skep_btf::ty::Linkage as BtfLinkage;
use skep_btf::{Btf, Kind, Ty, TypeId};
use skep_spec::asm;

use super::build::Build;
use crate::elf;
use crate::object::*;

impl Build<'_> {
    pub(super) fn externs(&mut self, file: &asm::File) {
        let (mut kconfig, mut ksyms) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        let mut end = 0u32;
        for one in &file.externs {
            let (kind, btf_type) = if let Some(btf) = self.given() {
                self.given_extern(&btf, one)
            } else {
                match self.declared(&one.declaration, one.span) {
                    Some(Declared::Variable { name, ty }) => {
                        let (size, _) = if one.kind == asm::ExternKind::Kconfig {
                            self.shape(ty, one.span)
                        } else {
                            (0, 0)
                        };
                        let untyped = self.is_void(ty);
                        let var = TypeDef::Var {
                            name,
                            target: ty,
                            linkage: BtfLinkage::Extern,
                        };
                        let var = self.builder().map_or(TypeId::VOID, |b| b.add(var));
                        if one.kind == asm::ExternKind::Kconfig {
                            let offset = end.checked_next_multiple_of(8).unwrap_or(u32::MAX);
                            end = offset.saturating_add(size);
                            kconfig.push(SecVarDef {
                                ty: var,
                                offset,
                                size,
                            });
                            (
                                ExternKind::Kconfig {
                                    map: MapIdx(usize::MAX),
                                    offset,
                                    size,
                                },
                                Some(var),
                            )
                        } else {
                            ksyms.push(SecVarDef {
                                ty: var,
                                offset: 0,
                                size: 0,
                            });
                            (
                                if untyped {
                                    ExternKind::KsymUntyped
                                } else {
                                    ExternKind::KsymTyped
                                },
                                Some(var),
                            )
                        }
                    }
                    Some(Declared::Function { name, proto }) => {
                        let func = TypeDef::Func {
                            name,
                            proto,
                            linkage: BtfLinkage::Extern,
                        };
                        let func = self.builder().map_or(TypeId::VOID, |b| b.add(func));
                        ksyms.push(SecVarDef {
                            ty: func,
                            offset: 0,
                            size: 0,
                        });
                        (ExternKind::Kfunc, Some(func))
                    }
                    _ => {
                        self.error(
                            "obj-bad-declaration",
                            one.span,
                            "neither a variable nor a function",
                            "write `u32 CONFIG_HZ` or `void f(void)`",
                        );
                        continue;
                    }
                }
            };
            self.externs
                .insert(one.name.clone(), ExternIdx(self.object.externs.len()));
            places.push(self.object.externs.len());
            self.object.externs.push(Extern {
                name: one.name.clone(),
                kind,
                weak: one.weak,
                btf_type,
            });
        }
        let given = self.given();
        let datasec = given
            .as_ref()
            .and_then(|btf| btf.find(Kind::DataSec, ".kconfig"));
        if let (Some(btf), Some(id)) = (&given, datasec)
            && let Ok(Ty::DataSec { size, .. }) = btf.ty(id)
        {
            end = size;
        }
        if end != 0 {
            let size = end.checked_next_multiple_of(8).unwrap_or(u32::MAX);
            let map = MapIdx(self.object.maps.len());
            let mut spec = elf::data_map(".kconfig", MapKind::Kconfig, size);
            let section = TypeDef::DataSec {
                name: ".kconfig".to_owned(),
                size,
                vars: kconfig,
            };
            spec.value_type = datasec.or_else(|| self.builder().map(|b| b.add(section)));
            self.object.maps.push(spec);
            for index in places {
                if let ExternKind::Kconfig { map: place, .. } = &mut self.object.externs[index].kind
                {
                    *place = map;
                }
            }
        }
        if !ksyms.is_empty()
            && let Some(builder) = self.builder()
        {
            builder.add(TypeDef::DataSec {
                name: ".ksyms".to_owned(),
                size: 0,
                vars: ksyms,
            });
        }
    }

    /// An extern that the given types describe.
    fn given_extern(&self, btf: &Btf, one: &asm::Extern) -> (ExternKind, Option<TypeId>) {
        let section = if one.kind == asm::ExternKind::Kconfig {
            ".kconfig"
        } else {
            ".ksyms"
        };
        let mut found = None;
        if let Some(id) = btf.find(Kind::DataSec, section)
            && let Ok(Ty::DataSec { vars, .. }) = btf.ty(id)
        {
            found = vars.iter().find(|v| btf.name(v.ty) == one.name);
        }
        let kind = match (one.kind, found) {
            (asm::ExternKind::Kconfig, Some(var)) => ExternKind::Kconfig {
                map: MapIdx(usize::MAX),
                offset: var.offset,
                size: var.size,
            },
            (asm::ExternKind::Kconfig, None) => ExternKind::Variable,
            (asm::ExternKind::Kfunc, Some(_)) => ExternKind::Kfunc,
            (asm::ExternKind::Kfunc, None) => ExternKind::Function,
            (asm::ExternKind::Ksym, Some(var)) => match btf.ty(var.ty) {
                Ok(Ty::Var { target, .. }) if matches!(btf.resolved(target), Ok((_, Ty::Void))) => {
                    ExternKind::KsymUntyped
                }
                _ => ExternKind::KsymTyped,
            },
            (asm::ExternKind::Ksym, None) => ExternKind::Variable,
        };
        (kind, found.map(|v| v.ty))
    }

    fn is_void(&mut self, mut id: TypeId) -> bool {
        let Some(builder) = self.builder() else {
            return false;
        };
        for _ in 0..32 {
            id = match builder.def(id) {
                Some(
                    TypeDef::Const { target }
                    | TypeDef::Volatile { target }
                    | TypeDef::Typedef { target, .. },
                ) => *target,
                _ => return id == TypeId::VOID,
            };
        }
        false
    }
}
