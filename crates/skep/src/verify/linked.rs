//! The verifier's input for a program that an engine has linked itself: the very instructions that are to run.
//!
//! Invariants: an instruction of the input and the one that the engine runs differ at most in how they name a map or a
//! function of the kernel; maps have the sizes of those that were made.

use std::cell::OnceCell;
use std::sync::Arc;

use skep_btf::{Btf, Kind};
use skep_obj::{Object, ProgramSpec};
use skep_verifier::Input;

use super::{
    LoadOptions, NotLoadable, Parts, TargetKernel, attach, externs, hidden_as_static, maps,
};
use crate::engine::ProgramLoad;

/// The object that programs are loaded from: relocated, its configuration values set.
pub struct Source<'a> {
    object: &'a Object,
    /// Its types as the kernel gets them, the same for all its programs.
    types: OnceCell<Option<Arc<Btf>>>,
}

impl<'a> Source<'a> {
    /// The object as the engine loads it.
    pub fn new(object: &'a Object) -> Source<'a> {
        Source {
            object,
            types: OnceCell::new(),
        }
    }

    fn types(&self) -> Result<Option<&Arc<Btf>>, NotLoadable> {
        if self.types.get().is_none() {
            let types = hidden_as_static(self.object)?;
            return Ok(self.types.get_or_init(|| types).as_ref());
        }
        Ok(self.types.get().and_then(Option::as_ref))
    }

    /// The input for the program that is to be loaded, on the kernel that the engine is.
    pub(crate) fn input(
        &self,
        program: &ProgramSpec,
        load: &ProgramLoad<'_>,
        kernel: &TargetKernel,
    ) -> Result<Input, NotLoadable> {
        let object = self.object;
        let mut code = load.program.clone();
        for (at, name) in load.kfuncs {
            let found = kernel
                .btfs
                .first()
                .and_then(|btf| btf.find(Kind::Func, skep_btf::btf::essential_name(name)));
            externs::set_kfunc(&mut code, *at, found);
        }
        maps::foreign_descriptors(&mut code);
        let absent: Vec<usize> = (0..load.maps.len())
            .filter(|&at| load.maps[at].is_none())
            .collect();
        maps::poison_absent(&mut code, &absent);
        let kind = program
            .program_type
            .ok_or_else(|| NotLoadable::Section(program.section.clone()))?;
        let mut infos = maps::infos(object, kernel, true);
        for (info, made) in infos.iter_mut().zip(load.maps) {
            if let Some(made) = made {
                let def = made.def();
                (info.key_size, info.value_size) = (def.key_size, def.value_size);
                (info.max_entries, info.flags) = (def.max_entries, def.flags);
            }
        }
        let parts = Parts {
            program,
            code,
            kind: (kind, program.attach_type),
            target: attach::target(object, program, kind, program.attach_type, kernel)?,
            maps: infos,
            types: self.types()?,
        };
        parts.input(kernel, &LoadOptions::default())
    }
}
