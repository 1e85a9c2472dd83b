//! Calls of the program's own functions: a new frame in, the result out.
//!
//! Invariants: at most eight frames are active; a frame that is left leaves nothing behind but r0; no pointer into its
//! stack survives in r0.

use std::rc::Rc;

use skep_spec::insn::Insn;
use skep_spec::limits::MAX_CALL_FRAMES;

use super::{E2BIG, EACCES, EFAULT, EINVAL};
use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::reg::{Kind, Reg};
use crate::step::Next;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// The subprogram that starts at that slot.
    pub fn subprog_at(&self, slot: usize) -> Option<usize> {
        self.subprogs
            .binary_search_by_key(&slot, |subprog| subprog.start)
            .ok()
    }

    /// Voids the registers that no call keeps.
    pub fn clear_caller_saved_regs(&mut self) {
        self.state.frame_mut().regs[..6].fill(Reg::NOT_INIT);
    }

    /// A frame for a call of `subprog` from the current instruction, its arguments still unset.
    pub fn new_callee(&self, subprog: u32) -> Rule<Frame> {
        let frames = self.state.frames.len();
        if frames >= MAX_CALL_FRAMES {
            return Err(Fault::new(
                E2BIG,
                "verifier-call-stack-too-deep",
                format!("the call stack of {} frames is too deep", frames + 1),
            ));
        }
        Ok(Frame::new(frames as u8, subprog, Some(self.insn_idx)))
    }

    /// `call` of a function of the program.
    pub(super) fn check_func_call(&mut self, insn: Insn) -> Rule<Next> {
        let target = self.insn_idx as i64 + 1 + i64::from(insn.imm);
        let Some(subprog) = usize::try_from(target)
            .ok()
            .and_then(|target| self.subprog_at(target))
        else {
            return Err(Fault::new(
                EINVAL,
                "verifier-bad-call-target",
                format!("the function starting at insn {target} doesn't exist"),
            ));
        };
        let matching = self.check_subprog_call(subprog);
        if self.subprogs[subprog].is_global {
            return self.call_global(subprog, matching);
        }
        let mut callee = self.new_callee(subprog as u32)?;
        callee.regs[1..6].copy_from_slice(&self.frame().regs[1..6]);
        self.clear_caller_saved_regs();
        let start = self.subprogs[subprog].start;
        self.state.frames.push(Rc::new(callee));
        if self.log.wanted() {
            let callee = self.state.frames.len() - 1;
            self.log_frame("caller:", callee - 1);
            self.log_frame("callee:", callee);
        }
        Ok(Next::Insn(start))
    }

    /// A call of a global function: its body is verified apart, here only the arguments matter.
    fn call_global(&mut self, subprog: usize, matching: Rule) -> Rule<Next> {
        let held = &self.state.held;
        if held.locks > 0 {
            return Err(Fault::new(
                EINVAL,
                "verifier-global-call-under-lock",
                "global function calls are not allowed while holding a lock,",
            )
            .and("use static function instead"));
        }
        let atomic = held.rcu > 0 || held.preempt > 0 || held.active_irq != 0;
        if self.subprogs[subprog].might_sleep && (atomic || !self.state.in_sleepable) {
            return Err(Fault::new(
                EINVAL,
                "verifier-global-call-might-sleep",
                "global functions that may sleep are not allowed in non-sleepable context,",
            )
            .and("i.e., in a RCU/IRQ/preempt-disabled section, or in")
            .and("a non-sleepable BPF program context"));
        }
        if let Err(fault) = matching {
            return Err(fault.and(format!(
                "Caller passes invalid args into func#{subprog} ('{}')",
                self.subprogs[subprog].name
            )));
        }
        self.log.line(format_args!(
            "Func#{subprog} ('{}') is global and assumed valid.",
            self.subprogs[subprog].name
        ));
        if self.subprogs[subprog].changes_pkt_data {
            self.clear_packet_pointers();
        }
        self.subprogs[subprog].called = true;
        self.clear_caller_saved_regs();
        self.set_reg(0, Reg::UNKNOWN);
        Ok(Next::Insn(self.insn_idx + 1))
    }

    /// Checks the arguments in r1 to r5 against the function's type. A function whose type does not fit is not looked
    /// at by its type again; for a static one that is all, so its faults are only logged.
    pub fn check_subprog_call(&mut self, subprog: usize) -> Rule {
        let unknown = || Fault::new(EINVAL, "verifier-no-function-type", "");
        let checked = if self.input.functions.is_empty() || self.subprogs[subprog].unreliable {
            Err(unknown())
        } else {
            self.check_subprog_args(subprog)
        };
        match checked {
            Ok(()) => Ok(()),
            Err(mut fault) => {
                fault.lines.retain(|line| !line.is_empty());
                self.subprogs[subprog].unreliable = true;
                if self.subprogs[subprog].is_global || fault.errno == EFAULT {
                    return Err(fault);
                }
                for line in &fault.lines {
                    self.log.line(format_args!("{line}"));
                }
                Ok(())
            }
        }
    }

    /// One active function, for the log.
    fn log_frame(&mut self, what: &str, frame: usize) {
        let text = self.state_text(&self.state, frame, None);
        self.log.line(format_args!("{what}"));
        self.log.line(format_args!("{text}"));
    }

    /// `exit` out of a called function, or out of a callback back to the call that made it.
    pub(super) fn prepare_func_exit(&mut self) -> Rule<Next> {
        let callee = self.frame();
        let result = callee.regs[0];
        let (Some(callsite), in_callback) = (callee.callsite, callee.in_callback) else {
            return Err(Fault::new(
                EFAULT,
                "verifier-no-caller",
                "a called function has no caller",
            ));
        };
        if result.kind == Kind::Stack {
            return Err(Fault::new(
                EINVAL,
                "verifier-stack-pointer-returned",
                "cannot return stack pointer to the caller",
            ));
        }
        let range = callee.callback_return;
        if in_callback {
            if !result.is_scalar() {
                return Err(Fault::new(
                    EACCES,
                    "verifier-callback-result",
                    "R0 not a scalar value",
                ));
            }
            self.mark_precise(0)?;
            let result = *self.reg(0);
            if result.num.smin < i64::from(range.min) || result.num.smax > i64::from(range.max) {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-callback-result",
                    self.out_of_range("At callback return", "R0", &result, range),
                ));
            }
        }
        let next = if in_callback { callsite } else { callsite + 1 };
        let level = self.state.frames.len() - 1;
        if !in_callback {
            self.state.frame_at_mut(level - 1).regs[0] = result;
        }
        if self.log.wanted() {
            self.log_frame("returning from callee:", level);
            self.log_frame(&format!("to caller at {next}:"), level - 1);
        }
        self.state.frames.pop();
        if in_callback && let Some(previous) = self.previous_entry_of_return(callsite) {
            let mut state = std::mem::replace(&mut self.state, State::hollow());
            self.widen(previous, &mut state);
            self.state = state;
        }
        Ok(Next::Insn(next))
    }
}
