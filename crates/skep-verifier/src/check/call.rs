//! Calls: of subprograms, of helpers, of kernel functions; exits, out of the program and out of functions.
//!
//! Invariant: a call or exit either goes on in a state that holds for every concrete run of it, or faults.

use skep_spec::insn::{Insn, pseudo};

use crate::fault::{Fault, Rule};
use crate::state::reg::Reg;
use crate::step::Next;
use crate::verifier::Verifier;

pub mod callback;
pub mod global;
pub mod global_type;
pub mod subprog;

#[cfg(test)]
mod tests;

pub(crate) const EINVAL: i32 = 22;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EFAULT: i32 = 14;
pub(crate) const E2BIG: i32 = 7;
pub(crate) const EOPNOTSUPP: i32 = 95;

const TAIL_CALL: i32 = 12;
/// bpf_spin_unlock, the one helper that may be called while a lock is held.
const SPIN_UNLOCK: i32 = 94;

impl Verifier<'_> {
    /// `call`, of whatever.
    pub fn step_call(&mut self, insn: Insn) -> Rule<Next> {
        if self.state.held.locks > 0 {
            let allowed = match insn.src {
                pseudo::HELPER => insn.imm == SPIN_UNLOCK,
                pseudo::KFUNC_CALL => self.kfunc_allowed_under_lock(insn),
                _ => true,
            };
            if !allowed {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-call-under-lock",
                    "function calls are not allowed while holding a lock",
                ));
            }
        }
        match insn.src {
            pseudo::CALL => self.check_func_call(insn),
            pseudo::KFUNC_CALL => self.check_kfunc_call(insn),
            _ => {
                self.check_helper_call(insn)?;
                if insn.imm == TAIL_CALL && self.state.frames.len() > 1 {
                    return self.leave_by_tail_call();
                }
                Ok(Next::Insn(self.insn_idx + 1))
            }
        }
    }

    /// A tail call out of a called function: if it is made, the program called returns to this function's caller.
    fn leave_by_tail_call(&mut self) -> Rule<Next> {
        let next = self.insn_idx + 1;
        if !self.input.profile.version.has("6.18") {
            return Ok(Next::Insn(next));
        }
        self.push_branch(next, self.insn_idx, false)?;
        self.set_reg(0, Reg::UNKNOWN);
        self.update_live_stack();
        self.prepare_func_exit()
    }

    /// `exit`, or with `exception` the end of a path by `bpf_throw`.
    pub fn step_exit(&mut self, exception: bool) -> Rule<Next> {
        let nested = self.state.frames.len() > 1;
        let what = "BPF_EXIT instruction in main prog";
        self.check_resource_leak(exception, exception || !nested, what)?;
        if exception {
            return Ok(Next::PathEnds);
        }
        if nested {
            return self.prepare_func_exit();
        }
        self.check_return_code()?;
        Ok(Next::PathEnds)
    }
}
