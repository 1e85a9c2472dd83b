//! Functions of the program that kfuncs call back: a tree's order, workqueues, task work.
//!
//! Invariant: the order of a tree is asked while its lock is held, so its arguments are non-owning.

use skep_spec::insn::Insn;

use crate::check::kfunc::args::Meta;
use crate::check::kfunc::resolve::{Kfunc, Special};
use crate::fault::Rule;
use crate::state::frame::{CallbackReturn, Frame};
use crate::verifier::Verifier;

impl<'i> Verifier<'i> {
    /// Puts the callback aside that the call hands over.
    pub(crate) fn push_kfunc_callback(&mut self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule {
        let pushed = match kfunc.special {
            Special::RbtreeAdd => self.push_less_callback(meta),
            Special::WqSetCallback => {
                self.push_scheduled_callback(1, meta, CallbackReturn { min: 0, max: 0 })
            }
            Special::TaskWorkAdd => self.push_scheduled_callback(
                3,
                meta,
                CallbackReturn {
                    min: i32::MIN,
                    max: i32::MAX,
                },
            ),
            _ => return Ok(()),
        };
        pushed.map_err(|fault| {
            fault.and(format!(
                "kfunc {}#{} failed callback verification",
                kfunc.name, kfunc.id
            ))
        })
    }

    /// `bpf_rbtree_add(root, node, less(a, b))`
    fn push_less_callback(&mut self, meta: &Meta) -> Rule {
        let Some(root) = meta.root else {
            return Ok(());
        };
        let mut callee = self.new_callee(meta.subprog)?;
        let mut node = self.graph_node_reg(root);
        node.flags = node.flags.with(self.non_owning_flags(&node));
        callee.regs[1] = node;
        callee.regs[2] = node;
        self.push_callback(callee, CallbackReturn { min: 0, max: 1 })
    }

    /// A callback of a workqueue or of task work, which may sleep. The map is that of the argument in `regno`.
    fn push_scheduled_callback(&mut self, regno: u8, meta: &Meta, range: CallbackReturn) -> Rule {
        let mut callee = Frame::new(0, meta.subprog, None);
        if let Some(map) = self.reg(regno).map() {
            self.set_async_map_args(&mut callee, map);
        }
        self.push_async_callback(callee, range, true)
    }

    /// Whether the active function is the order of a tree.
    pub fn in_rbtree_callback(&self) -> bool {
        let frame = self.frame();
        frame.in_callback
            && frame
                .callsite
                .and_then(|at| self.insns.get(at))
                .is_some_and(|&insn: &Insn| {
                    insn.is_kfunc_call()
                        && self
                            .kfuncs
                            .of(insn)
                            .is_some_and(|kfunc| kfunc.is(Special::RbtreeAdd))
                })
    }
}
