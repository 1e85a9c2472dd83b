//! From one program to a loadable instruction vector: CO-RE applied, subprograms appended, calls resolved.
//!
//! Invariants: a function appears once, however often it is called; every position in a [`LinkedProgram`] counts slots
//! of its one vector; instructions are only ever edited where the object has a relocation.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use skep_btf::core::{Patched, Relocator};
use skep_btf::{Btf, Ty};

use crate::error::ObjError;
use crate::object::*;

/// More instructions than any engine takes.
const INSNS_MAX: usize = 16 << 20;

impl Object {
    /// Adjusts every function to the types of `targets` (the kernel's BTF first, then its modules').
    ///
    /// A relocation without a target poisons its instruction and is reported; it is an error only for relocations that
    /// make no sense. Relocations are consumed: doing it twice is harmless.
    pub fn relocate(&mut self, targets: &[Arc<Btf>]) -> Result<CoreReport, ObjError> {
        let mut report = CoreReport::default();
        if self.functions.iter().all(|f| f.core.is_empty()) {
            return Ok(report);
        }
        let Some(local) = self.btf.clone() else {
            return Err(ObjError::malformed(
                ".BTF.ext",
                0,
                "CO-RE relocations without BTF types",
            ));
        };
        let mut relocator = Relocator::new(&local, targets);
        for function in &mut self.functions {
            for relo in std::mem::take(&mut function.core) {
                let at = relo.insn_off as usize;
                let failed = |why: String| ObjError::Core {
                    function: function.name.clone(),
                    at,
                    why,
                };
                let resolved = relocator
                    .resolve(&relo)
                    .map_err(|e| failed(e.to_string()))?;
                match resolved
                    .patch(&mut function.insns, at)
                    .map_err(|e| failed(e.to_string()))?
                {
                    Patched::Value => report.applied += 1,
                    Patched::Poisoned(reason) => {
                        let poison = Poison { at, reason };
                        report
                            .poisoned
                            .push((function.name.clone(), poison.clone()));
                        function.poisons.push(poison);
                    }
                }
            }
        }
        Ok(report)
    }

    /// Lays out a program and every subprogram that it reaches in one instruction vector.
    pub fn link(&self, program: &ProgramSpec) -> Result<LinkedProgram, ObjError> {
        let order = self.reachable(program)?;
        let mut start = HashMap::new();
        let mut end = 0usize;
        for &index in &order {
            start.insert(index, end);
            end += self.functions[index.0].insns.len();
        }
        if end > INSNS_MAX {
            return Err(ObjError::link(
                &program.name,
                format!("{end} instructions, at most {INSNS_MAX} are supported"),
            ));
        }
        let mut out = LinkedProgram {
            name: program.name.clone(),
            program_type: program.program_type,
            attach_type: program.attach_type,
            attach_to: program.attach_to.clone(),
            license: self.license.clone(),
            kern_version: self.kern_version,
            insns: Vec::with_capacity(end),
            functions: Vec::with_capacity(order.len()),
            map_refs: Vec::new(),
            func_refs: Vec::new(),
            extern_refs: Vec::new(),
            lines: Vec::new(),
            poisons: Vec::new(),
            sleepable: program.sleepable,
            flags: program.flags,
        };
        for &index in &order {
            let function = &self.functions[index.0];
            let base = start[&index];
            out.functions.push(FnRange {
                name: function.name.clone(),
                start: base,
                len: function.insns.len(),
                btf_type: function.btf_type,
                linkage: function.linkage,
            });
            out.insns.extend_from_slice(&function.insns);
            out.lines
                .extend(function.lines.iter().cloned().map(|mut line| {
                    line.insn_off = line.insn_off.saturating_add(base as u32);
                    line
                }));
            out.poisons.extend(function.poisons.iter().map(|p| Poison {
                at: p.at + base,
                reason: p.reason.clone(),
            }));
            let poisoned: HashSet<usize> = function.poisons.iter().map(|p| p.at).collect();
            for reloc in function.relocs.iter().filter(|r| !poisoned.contains(&r.at)) {
                self.resolve(&mut out, reloc, base, &start).ok_or_else(|| {
                    ObjError::link(
                        &function.name,
                        format!("reference at instruction {} is broken", reloc.at),
                    )
                })?;
            }
        }
        Ok(out)
    }

    /// The functions that a program reaches by calls and callbacks, itself first; each follows the function that first
    /// names it, with what it reaches itself. The callback that an `exception_callback:` tag names comes last.
    fn reachable(&self, program: &ProgramSpec) -> Result<Vec<FnIdx>, ObjError> {
        let mut order = Vec::new();
        let mut seen: HashSet<FnIdx> = HashSet::new();
        let roots = std::iter::once(program.function).chain(self.exception_callback(program)?);
        for root in roots {
            if !seen.insert(root) {
                continue;
            }
            order.push(root);
            // Functions whose references are being followed, and how many were.
            let mut open = vec![(root, 0)];
            while let Some((index, at)) = open.last_mut() {
                let function = self.function(*index).ok_or_else(|| {
                    ObjError::link(
                        &program.name,
                        format!("function {} is not in the object", index.0),
                    )
                })?;
                let Some(reloc) = function.relocs.get(*at) else {
                    open.pop();
                    continue;
                };
                *at += 1;
                match reloc.target {
                    RelocTarget::Call(target) | RelocTarget::FuncAddr(target) => {
                        if seen.insert(target) {
                            order.push(target);
                            open.push((target, 0));
                        }
                    }
                    RelocTarget::Extern(index) => self.check_extern(function, index)?,
                    RelocTarget::Map(map) | RelocTarget::MapValue { map, .. } => {
                        if map.0 >= self.maps.len() {
                            return Err(ObjError::link(
                                &function.name,
                                format!("map {} is not in the object", map.0),
                            ));
                        }
                    }
                }
            }
        }
        Ok(order)
    }

    /// The function that runs when the program throws, if a tag of its type names one.
    fn exception_callback(&self, program: &ProgramSpec) -> Result<Option<FnIdx>, ObjError> {
        const TAG: &str = "exception_callback:";
        let (Some(btf), Some(main)) = (
            self.btf.as_deref(),
            self.function(program.function).and_then(|f| f.btf_type),
        ) else {
            return Ok(None);
        };
        let mut found = None;
        for id in btf.tags(main) {
            let Ok(Ty::DeclTag {
                value,
                component: -1,
                ..
            }) = btf.ty(id)
            else {
                continue;
            };
            let Some(name) = value.strip_prefix(TAG) else {
                continue;
            };
            let broken = |why: String| ObjError::link(&program.name, why);
            // The kernel says what is wrong with several.
            if found.is_some() {
                return Ok(None);
            }
            let index = self
                .function_index(name)
                .filter(|index| self.functions[index.0].linkage != Linkage::Static)
                .ok_or_else(|| {
                    broken(format!(
                        "its exception callback `{name}` is not a global function of the object"
                    ))
                })?;
            found = Some(index);
        }
        Ok(found)
    }

    /// Refuses externs that no engine can supply.
    fn check_extern(&self, function: &Function, index: ExternIdx) -> Result<(), ObjError> {
        let Some(wanted) = self.externs.get(index.0) else {
            return Err(ObjError::link(
                &function.name,
                format!("extern {} is not in the object", index.0),
            ));
        };
        let what = match wanted.kind {
            ExternKind::Function => "function",
            ExternKind::Variable => "variable",
            _ => return Ok(()),
        };
        Err(ObjError::link(
            &wanted.name,
            format!(
                "{what} used by `{}` is defined nowhere: link the object that defines it, or declare it `__ksym`",
                function.name
            ),
        ))
    }

    fn resolve(
        &self,
        out: &mut LinkedProgram,
        reloc: &Reloc,
        base: usize,
        start: &HashMap<FnIdx, usize>,
    ) -> Option<()> {
        let at = base + reloc.at;
        let wide = out.insns.get(at)?.is_ld_imm64();
        match reloc.target {
            RelocTarget::Map(map) => {
                out.insns.get_mut(at)?.imm = i32::try_from(map.0).ok()?;
                out.map_refs.push(MapRef {
                    at,
                    map,
                    value_offset: None,
                });
            }
            RelocTarget::MapValue { map, offset } => {
                out.insns.get_mut(at)?.imm = i32::try_from(map.0).ok()?;
                out.insns.get_mut(at + 1).filter(|_| wide)?.imm = offset as i32;
                out.map_refs.push(MapRef {
                    at,
                    map,
                    value_offset: Some(offset),
                });
            }
            RelocTarget::Call(function) => {
                out.insns.get_mut(at)?.imm = relative(at, *start.get(&function)?)?;
            }
            RelocTarget::FuncAddr(function) => {
                let target = *start.get(&function)?;
                out.insns.get_mut(at)?.imm = relative(at, target)?;
                out.func_refs.push(FuncRef { at, target });
            }
            RelocTarget::Extern(extern_) => match self.externs.get(extern_.0)?.kind {
                ExternKind::Kconfig { map, offset, .. } if wide => {
                    let insn = out.insns.get_mut(at)?;
                    insn.src = skep_spec::insn::pseudo::MAP_VALUE;
                    insn.imm = i32::try_from(map.0).ok()?;
                    out.insns.get_mut(at + 1)?.imm = offset as i32;
                    out.map_refs.push(MapRef {
                        at,
                        map,
                        value_offset: Some(offset),
                    });
                }
                _ => out.extern_refs.push(ExternRef { at, extern_ }),
            },
        }
        Some(())
    }
}

/// The immediate of a call or callback address at slot `at`.
fn relative(at: usize, target: usize) -> Option<i32> {
    i32::try_from(target as i64 - at as i64 - 1).ok()
}
