//! Calls of kernel functions, by their BTF.
//!
//! Invariant: arguments are checked before anything is released, what is released is void before the result is made.

use skep_spec::insn::Insn;
use skep_spec::program::ProgramType as P;

use crate::check::iter::IterUse;
use crate::check::region::RegionCall;
use crate::fault::{Fault, Rule};
use crate::state::reg::Reg;
use crate::state::scalar::Scalar;
use crate::step::Next;
use crate::verifier::Verifier;

pub(crate) mod args;
mod callback;
mod facts;
pub(crate) mod resolve;
mod ret;
#[cfg(test)]
mod tests;
pub(crate) mod types;

use resolve::{Kfunc, Special};

const EINVAL: i32 = 22;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
/// The largest errno that a pointer can stand for.
const ERRNO_MAX: i64 = 4095;

impl Kfunc<'_> {
    /// Whether it takes the next element of an iterator.
    pub(crate) fn is_iter_next(&self) -> bool {
        self.flags.iter == Some(IterUse::Next)
    }
}

impl Verifier<'_> {
    /// A call of a kfunc.
    pub fn check_kfunc_call(&mut self, insn: Insn) -> Rule<Next> {
        if insn.imm == 0 {
            // A weak function that the kernel does not have: fine only where no path leads.
            return Err(Fault::new(
                EINVAL,
                "verifier-kfunc-missing",
                "invalid kernel function call not eliminated in verifier pass",
            ));
        }
        let kfunc = self.kfunc_of(insn)?;
        let kfunc = &*kfunc;
        let name = kfunc.name;
        if !kfunc.allowed {
            return Err(Fault::new(
                EACCES,
                "verifier-kfunc-not-here",
                format!("calling kernel function {name} is not allowed"),
            ));
        }
        match kfunc.special {
            Special::ResSpinLock | Special::ResSpinLockIrqsave => self.push_failed_lock()?,
            Special::Trap => {
                return Err(Fault::new(
                    EFAULT,
                    "verifier-trap",
                    "unexpected __bpf_trap() due to uninitialized variable?",
                ));
            }
            _ => {}
        }
        if kfunc.flags.destructive && !self.input.caps.sys_admin {
            return Err(Fault::new(
                EACCES,
                "verifier-kfunc-destructive",
                "destructive kfunc calls require CAP_SYS_BOOT capability",
            ));
        }
        if kfunc.flags.sleepable && !self.in_sleepable() {
            return Err(Fault::new(
                EACCES,
                "verifier-kfunc-sleepable",
                format!("program must be sleepable to call sleepable kfunc {name}"),
            ));
        }
        let mut meta = self.check_kfunc_args(kfunc)?;
        self.push_kfunc_callback(kfunc, &meta)?;
        if kfunc.is(Special::SessionCookie) {
            meta.r0_size = 8;
            meta.r0_rdonly = false;
        }
        self.check_kfunc_regions(RegionCall {
            name,
            special: kfunc.special,
            sleepable: kfunc.flags.sleepable,
            rcu_protected: kfunc.flags.rcu_protected,
        })?;
        self.release_kfunc_args(kfunc, &meta)?;
        if kfunc.is(Special::Throw) {
            self.check_throw()?;
        }
        for regno in 0..=5 {
            self.set_reg(regno, Reg::NOT_INIT);
        }
        self.set_kfunc_result(kfunc, &meta)?;
        if kfunc.is(Special::XdpPullData) {
            self.clear_packet_pointers();
        }
        if kfunc.is_iter_next()
            && let Some(place) = meta.iter
        {
            self.process_iter_next(place)?;
        }
        if kfunc.is(Special::Throw) {
            return self.step_exit(true);
        }
        Ok(Next::Insn(self.insn_idx + 1))
    }

    /// Whether the instruction calls a kfunc that may be called while a lock is held.
    pub fn kfunc_allowed_under_lock(&mut self, insn: Insn) -> bool {
        self.kfunc_of(insn)
            .is_ok_and(|kfunc| kfunc.special.is_allowed_under_lock())
    }

    /// Releases what the call takes over.
    fn release_kfunc_args(&mut self, kfunc: &Kfunc<'_>, meta: &args::Meta) -> Rule {
        let not_acquired = || {
            Fault::new(
                EINVAL,
                "verifier-not-acquired",
                format!(
                    "kfunc {}#{} reference has not been acquired before",
                    kfunc.name, kfunc.id
                ),
            )
        };
        if meta.release_regno != 0 {
            let reg = *self.reg(meta.release_regno);
            if meta.dynptr.is_some_and(|dynptr| dynptr.ref_id != 0) {
                self.release_dynptr(&reg)?;
            } else {
                self.release_reference(reg.ref_id)
                    .map_err(|_| not_acquired())?;
            }
        }
        if kfunc.special.adds_to_graph() {
            let node = *self.reg(2);
            if node.ref_id == 0 {
                return Err(not_acquired());
            }
            self.convert_to_non_owning(node.ref_id, &node);
            self.release_reference(node.ref_id)
                .map_err(|_| not_acquired())?;
        }
        Ok(())
    }

    /// Puts the path aside on which a resilient lock was not taken.
    fn push_failed_lock(&mut self) -> Rule {
        let at = self.insn_idx;
        let aside = self.push_branch(at + 1, at, false)?;
        let frame = aside.frame_mut();
        for regno in 0..=5 {
            frame.regs[regno] = Reg::NOT_INIT;
        }
        frame.regs[0] = Reg::scalar(Scalar::signed_range(-ERRNO_MAX, -1));
        Ok(())
    }

    /// Whether the program may sleep here.
    pub fn in_sleepable(&self) -> bool {
        self.state.in_sleepable || self.input.flags & skep_spec::program::flags::SLEEPABLE != 0
    }

    /// The kind of program; for an extension that of the program that it extends.
    pub(crate) fn program_kind(&self) -> P {
        match &self.input.target {
            Some(crate::input::AttachTarget::Program(target))
                if self.input.program_type == P::Ext =>
            {
                target.program_type
            }
            _ => self.input.program_type,
        }
    }
}
