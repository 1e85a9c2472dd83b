//! The header: all types of a BTF in an order that compiles, as `bpftool btf dump format c` prints them.
//!
//! Invariants: the walk follows references by value before the type itself, and only announces what is pointed to; it visits a
//! type at most twice (announced, defined), so it ends.

use std::collections::HashMap;

use super::{DEPTH_MAX, Printer, identifier, tag_word};
use crate::btf::Btf;
use crate::build::TypeDef;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Ty, TypeId};

const HEAD: &str = "#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const TAIL: &str = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// A header with all types of a BTF (its base's included); variables and functions are not in it.
pub fn dump(btf: &Btf) -> Result<String, BtfError> {
    let mut printer = Printer::new(btf);
    printer.unique_enumerators = true;
    name_apart(btf, &mut printer)?;
    let mut used = vec![false; btf.len() as usize];
    for id in btf.ids() {
        if let Some(mut def) = TypeDef::of(&btf.ty(id)?) {
            def.for_each_id(|id| used[id.0 as usize] = true);
        }
    }
    let state = vec![State::New; btf.len() as usize];
    let mut header = Header {
        printer,
        out: HEAD.into(),
        state,
        used,
    };
    for id in btf.ids() {
        if let Ty::Struct(_)
        | Ty::Union(_)
        | Ty::Enum(_)
        | Ty::Enum64(_)
        | Ty::Typedef { .. }
        | Ty::Fwd { .. } = btf.ty(id)?
        {
            header.need(id, true, 0)?;
        }
    }
    Ok(header.out + TAIL)
}

/// Gives the second and further types of a name other names. Tags and typedefs do not share names in C.
fn name_apart(btf: &Btf, printer: &mut Printer<'_>) -> Result<(), BtfError> {
    let mut seen: HashMap<(bool, &str), u32> = HashMap::new();
    let mut forward = Vec::new();
    for id in btf.ids() {
        let (tag, name) = match btf.ty(id)? {
            Ty::Struct(c) | Ty::Union(c) => (true, c.name),
            Ty::Enum(e) | Ty::Enum64(e) => (true, e.name),
            Ty::Typedef { name, .. } => (false, name),
            Ty::Fwd { name, union } => {
                forward.push((id, name, union));
                continue;
            }
            _ => continue,
        };
        if name.is_empty() {
            continue;
        }
        let count = seen.entry((tag, name)).or_default();
        // What compilers define (`__builtin_va_list`) may be of another size on the target they compile for.
        *count += if name.starts_with("__builtin_") { 2 } else { 1 };
        if *count > 1 {
            printer
                .names
                .insert(id, format!("{}___{count}", identifier(name)));
        }
    }
    // A forward declaration is of the type of its name, unless that is of another sort.
    for (id, name, union) in forward {
        let wanted = if union { Kind::Union } else { Kind::Struct };
        if seen.contains_key(&(true, name))
            && btf
                .find(wanted, name)
                .is_none_or(|found| printer.names.contains_key(&found))
        {
            printer
                .names
                .insert(id, format!("{}___fwd", identifier(name)));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Announced,
    Busy,
    BusyAnnounced,
    Done,
}

struct Header<'a> {
    printer: Printer<'a>,
    out: String,
    state: Vec<State>,
    /// Whether some type refers to it.
    used: Vec<bool>,
}

impl Header<'_> {
    fn state(&mut self, id: TypeId) -> &mut State {
        // Every id was checked against the BTF's length when it was parsed.
        &mut self.state[id.0 as usize]
    }

    /// Prints what must be there before a type can be used: by value if `whole`, else behind a pointer.
    fn need(&mut self, id: TypeId, whole: bool, depth: usize) -> Result<(), BtfError> {
        if depth > 3 * DEPTH_MAX {
            return Err(BtfError::TooDeep { id });
        }
        let ty = self.printer.btf.ty(id)?;
        let depth = depth + 1;
        match ty {
            Ty::Void | Ty::Int(_) | Ty::Float { .. } => {}
            Ty::Ptr { target } => self.need(target, false, depth)?,
            Ty::Array { elem, .. } => self.need(elem, true, depth)?,
            Ty::Volatile { target }
            | Ty::Const { target }
            | Ty::Restrict { target }
            | Ty::TypeTag { target, .. } => {
                self.need(target, whole, depth)?;
            }
            Ty::FuncProto { ret, params } => {
                self.need(ret, false, depth)?;
                for param in params.iter() {
                    self.need(param.ty, false, depth)?;
                }
            }
            Ty::Func { proto, .. } => self.need(proto, false, depth)?,
            Ty::Var { target, .. } | Ty::DeclTag { target, .. } => {
                self.need(target, whole, depth)?
            }
            Ty::DataSec { .. } => {}
            Ty::Fwd { .. } => {
                if *self.state(id) == State::New {
                    *self.state(id) = State::Done;
                    self.line(&format!("{} {}", tag_word(&ty), self.printer.name(id)));
                }
            }
            Ty::Typedef { target, .. } => match *self.state(id) {
                State::Done => {
                    if whole {
                        self.need(target, true, depth)?;
                    }
                }
                State::Busy | State::BusyAnnounced => {}
                _ => {
                    *self.state(id) = State::Busy;
                    // The type itself may refer to the typedef: what it is called comes before what it is.
                    self.need(target, false, depth)?;
                    let name = self.printer.name(id);
                    let text = self.printer.declaration(target, &name, 0, 0)?;
                    self.line(&format!("typedef {text}"));
                    *self.state(id) = State::Done;
                    if whole {
                        self.need(target, true, depth)?;
                    }
                }
            },
            Ty::Enum(enumeration) | Ty::Enum64(enumeration) => {
                // An anonymous one is written out where it is used; if it is used nowhere, its enumerators still count.
                let here = !enumeration.name.is_empty() || !self.used[id.0 as usize];
                if here && *self.state(id) == State::New {
                    *self.state(id) = State::Done;
                    let text = self.printer.body(id, 0, 0)?;
                    self.line(&text);
                }
            }
            Ty::Struct(composite) | Ty::Union(composite) => {
                let anonymous = composite.name.is_empty();
                match *self.state(id) {
                    State::Done | State::BusyAnnounced => return Ok(()),
                    State::Busy if whole || anonymous => return Ok(()),
                    State::Announced if !whole => return Ok(()),
                    _ if anonymous && depth == 1 => return Ok(()),
                    _ if !whole && !anonymous => {
                        let busy = *self.state(id) == State::Busy;
                        *self.state(id) = if busy {
                            State::BusyAnnounced
                        } else {
                            State::Announced
                        };
                        self.line(&format!("{} {}", tag_word(&ty), self.printer.name(id)));
                        return Ok(());
                    }
                    _ => {}
                }
                *self.state(id) = State::Busy;
                for member in composite.members.iter() {
                    self.need(member.ty, true, depth)?;
                }
                if anonymous {
                    // Its members are there now, also for the next place it is written out at.
                    *self.state(id) = State::Done;
                    return Ok(());
                }
                let text = self.printer.body(id, 0, 0)?;
                self.line(&text);
                *self.state(id) = State::Done;
            }
        }
        Ok(())
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push_str(";\n\n");
    }
}
