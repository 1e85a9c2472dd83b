//! `bpf_throw`, and the function that a program names to handle what is thrown.
//!
//! Invariant: a thrown path ends there; with no handler, what is thrown must be a value that the program may return.

use skep_btf::ty::Linkage;
use skep_btf::{Kind as BtfKind, Ty};

use crate::fault::{Fault, Rule};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
const TAG: &str = "exception_callback:";

impl Verifier<'_> {
    /// Finds the function that the main function's tag names as exception callback, and marks its subprogram.
    pub fn find_exception_callback(&mut self) -> Rule {
        let refused = |line: String| Err(Fault::new(EINVAL, "verifier-exception-callback", line));
        let (Some(btf), Some(main)) = (
            self.input.program_btf.as_ref(),
            self.input.functions.first(),
        ) else {
            return Ok(());
        };
        let mut names = btf.own_ids().filter_map(|id| match btf.ty(id) {
            Ok(Ty::DeclTag {
                value,
                target,
                component: -1,
                ..
            }) if target == main.type_id => value.strip_prefix(TAG),
            _ => None,
        });
        let Some(name) = names.next() else {
            return Ok(());
        };
        if names.next().is_some() {
            return refused("multiple exception callback tags for main subprog".into());
        }
        let Some(id) = btf.find(BtfKind::Func, name) else {
            return refused(format!(
                "exception callback '{name}' could not be found in BTF"
            ));
        };
        if !matches!(
            btf.ty(id),
            Ok(Ty::Func {
                linkage: Linkage::Global,
                ..
            })
        ) {
            return refused(format!(
                "exception callback '{name}' must have global linkage"
            ));
        }
        let start = self
            .input
            .functions
            .iter()
            .skip(1)
            .find(|function| function.type_id == id)
            .map(|function| function.insn);
        match self
            .subprogs
            .iter_mut()
            .find(|subprog| Some(subprog.start) == start)
        {
            Some(subprog) => {
                subprog.is_exception_callback = true;
                Ok(())
            }
            None => refused(format!(
                "exception callback '{name}' could not be found in BTF"
            )),
        }
    }

    /// What is thrown with no handler is the program's result.
    pub fn check_throw(&mut self) -> Rule {
        if self.has_exception_callback() {
            return Ok(());
        }
        self.check_return_reg(1, "R1")
    }

    /// Whether the program names a function that handles what is thrown.
    pub fn has_exception_callback(&self) -> bool {
        self.subprogs
            .iter()
            .any(|subprog| subprog.is_exception_callback)
    }
}
