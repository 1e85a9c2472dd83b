//! What a program may return, by its kind and place of attachment.

use skep_spec::program::{AttachType, ProgramType};

use crate::check::call::{EACCES, EINVAL};
use crate::fault::{Fault, Rule};
use crate::platform::ExitRange;
use crate::state::frame::CallbackReturn;
use crate::state::reg::{Detail, Reg};
use crate::step::Use;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// The value in r0 where the program ends, or a function or asynchronous callback that is walked by itself.
    pub fn check_return_code(&mut self) -> Rule {
        self.check_return_reg(0, "R0")
    }

    /// The value in that register as the program's result; `bpf_throw` hands it over in r1.
    pub fn check_return_reg(&mut self, regno: u8, name: &str) -> Rule {
        let program = self.platform.place.program;
        let attach = self.platform.place.attach;
        let frame = self.state.frames[0].as_ref();
        let is_subprog = frame.subprog != 0;
        let (in_exception, in_async, async_range) = (
            frame.in_exception_callback,
            frame.in_async_callback,
            frame.callback_return,
        );
        let cgroup_lsm = program == ProgramType::Lsm && attach == Some(AttachType::LsmCgroup);
        if !is_subprog || in_exception {
            match program {
                ProgramType::Lsm if !cgroup_lsm && self.attached_to_void() => return Ok(()),
                ProgramType::StructOps if self.attached_to_void() => return Ok(()),
                ProgramType::StructOps if !in_exception => {
                    let reg = *self.reg(regno);
                    if let (Some(wanted), Detail::Btf { btf, id }) =
                        (self.attached_result_struct(), reg.detail)
                        && wanted == (btf, id)
                        && reg.ref_id != 0
                    {
                        return self.check_ptr_off_reg(&reg, regno, false);
                    }
                }
                _ => {}
            }
        }
        self.check_reg_arg(regno, Use::Read)?;
        if self.is_pointer_value(regno) {
            return Err(Fault::new(
                EACCES,
                "verifier-result-leaks-address",
                format!("R{regno} leaks addr as return value"),
            ));
        }
        let reg = *self.reg(regno);
        let mut context = "At program exit";
        let mut low_half = false;
        let range = if in_async {
            context = "At async callback return";
            async_range
        } else if is_subprog && !in_exception {
            if !reg.is_scalar() {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-result-not-scalar",
                    format!(
                        "At subprogram exit the register R{regno} is not a scalar value ({})",
                        reg.type_name()
                    ),
                ));
            }
            return Ok(());
        } else {
            low_half = program == ProgramType::Lsm && !cgroup_lsm;
            match self.exit_range() {
                ExitRange::Ignored => return Ok(()),
                ExitRange::Within(min, max) => CallbackReturn { min, max },
            }
        };
        if !reg.is_scalar() {
            return Err(Fault::new(
                EINVAL,
                "verifier-result-not-scalar",
                format!(
                    "{context} the register R{regno} is not a known value ({})",
                    reg.type_name()
                ),
            ));
        }
        self.mark_precise(regno)?;
        let num = self.reg(regno).num;
        let inside = if low_half {
            num.s32_min >= range.min && num.s32_max <= range.max
        } else {
            num.smin >= i64::from(range.min) && num.smax <= i64::from(range.max)
        };
        if inside {
            return Ok(());
        }
        let fault = Fault::new(
            EINVAL,
            "verifier-result-range",
            self.out_of_range(context, name, &reg, range),
        );
        if !is_subprog && cgroup_lsm && self.attached_to_void() {
            return Err(fault.and(
                "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!",
            ));
        }
        Err(fault)
    }

    /// What the program's result must be.
    fn exit_range(&self) -> ExitRange {
        let place = &self.platform.place;
        match (place.program, place.attach) {
            (ProgramType::RawTracepoint, _) if self.input.target.is_some() => {
                ExitRange::Within(0, 0)
            }
            (ProgramType::Lsm, Some(AttachType::LsmCgroup)) => {
                if self.attached_to_void() {
                    ExitRange::Within(1, 1)
                } else {
                    ExitRange::Within(0, 1)
                }
            }
            (ProgramType::Lsm, _) if !self.platform.profile.at_least(6, 12) => ExitRange::Ignored,
            (ProgramType::Lsm, _) => self.lsm_result_range(),
            (ProgramType::StructOps, _) => {
                if self.attached_result_struct().is_some() {
                    ExitRange::Within(0, 0)
                } else {
                    ExitRange::Ignored
                }
            }
            _ => self.platform.exit(),
        }
    }

    /// The sentence about a result outside its range.
    pub(in crate::check) fn out_of_range(
        &self,
        context: &str,
        name: &str,
        reg: &Reg,
        range: CallbackReturn,
    ) -> String {
        use std::fmt::Write as _;
        let mut line = format!("{context} the register {name} has");
        if reg.num.smin > i64::MIN {
            let _ = write!(line, " smin={}", reg.num.smin);
        }
        if reg.num.smax < i64::MAX {
            let _ = write!(line, " smax={}", reg.num.smax);
        }
        if reg.num.smin == i64::MIN && reg.num.smax == i64::MAX {
            line.push_str(" unknown scalar value");
        }
        let _ = write!(line, " should have been in [{}, {}]", range.min, range.max);
        line
    }
}
