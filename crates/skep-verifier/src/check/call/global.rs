//! Global functions: verified once on their own, for any arguments of their types; at a call only the types matter.
//!
//! Invariant: a function is verified by itself only if some verified code calls it.

use super::EINVAL;
use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::State;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;
use skep_spec::helper::{ArgKind, ArgType};
use skep_spec::program::ProgramType;

/// What a function of the program takes, by its BTF type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSpec {
    /// A number.
    Scalar,
    /// The context.
    Ctx,
    /// A dynptr that it only reads.
    Dynptr,
    /// So many bytes of memory.
    Mem { size: u32, nullable: bool },
    /// Memory of unknown size that may be bad; read only.
    UntrustedMem,
    /// A kernel object.
    Btf {
        btf: BtfIdx,
        id: u32,
        nullable: bool,
        untrusted: bool,
    },
    /// A pointer into the arena, or a number.
    Arena,
}

#[cold]
fn refuse(line: String) -> Rule {
    Err(Fault::new(EINVAL, "verifier-function-argument", line))
}

impl Verifier<'_> {
    /// The registers of a call against the type of the function.
    pub(super) fn check_subprog_args(&mut self, subprog: usize) -> Rule {
        let args = self.function_args(subprog)?;
        for (at, &arg) in args.iter().enumerate() {
            let regno = at as u8 + 1;
            let reg = *self.reg(regno);
            match arg {
                ArgSpec::Scalar => {
                    if !reg.is_scalar() {
                        return refuse(format!("R{regno} is not a scalar"));
                    }
                }
                ArgSpec::UntrustedMem
                | ArgSpec::Btf {
                    untrusted: true, ..
                } => {}
                ArgSpec::Ctx => {
                    self.check_func_arg_reg_off(&reg, regno, None)?;
                    if reg.kind != Kind::Ctx || reg.flags != Flags::NONE {
                        return refuse(format!("arg#{at} expects pointer to ctx"));
                    }
                }
                ArgSpec::Mem { size, nullable } => {
                    self.check_func_arg_reg_off(&reg, regno, None)?;
                    self.check_mem_reg(regno, size)?;
                    if !nullable && reg.maybe_null() {
                        return refuse(format!("arg#{at} is expected to be non-NULL"));
                    }
                }
                ArgSpec::Arena => {
                    if !reg.is_scalar() && reg.kind != Kind::Arena {
                        return refuse(format!("R{regno} is not a pointer to arena or scalar."));
                    }
                }
                ArgSpec::Dynptr => {
                    let dynptr = ArgType {
                        kind: ArgKind::Dynptr,
                        modifiers: ArgType::READ_ONLY,
                        size: 0,
                        of: "",
                    };
                    self.check_func_arg_reg_off(&reg, regno, Some(&dynptr))?;
                    self.process_dynptr_argument(regno, &dynptr)?;
                }
                ArgSpec::Btf {
                    btf, id, nullable, ..
                } => {
                    if nullable && reg.is_zero() {
                        continue;
                    }
                    let wanted = ArgType {
                        kind: ArgKind::Btf,
                        modifiers: if nullable { ArgType::OR_NULL } else { 0 },
                        size: 0,
                        of: "",
                    };
                    self.check_reg_type(regno, &wanted, Some((btf, id)), &CallMeta::default())?;
                    self.check_func_arg_reg_off(&reg, regno, Some(&wanted))?;
                }
            }
        }
        Ok(())
    }

    /// Walks the main program.
    pub fn check_main(&mut self) -> Rule {
        self.check_function(0)
    }

    /// Walks each global function that is called from what was walked.
    pub fn check_global_functions(&mut self) -> Rule {
        if self.input.functions.is_empty() {
            return Ok(());
        }
        for subprog in &mut self.subprogs {
            subprog.called |= subprog.is_exception_callback;
        }
        loop {
            let mut more = false;
            for at in 1..self.subprogs.len() {
                let subprog = &self.subprogs[at];
                if !subprog.is_global || !subprog.called || subprog.verified {
                    continue;
                }
                self.check_function(at)?;
                self.log.line(format_args!(
                    "Func#{at} ('{}') is safe for any args that match its prototype",
                    self.subprogs[at].name
                ));
                self.subprogs[at].verified = true;
                more = true;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Walks one function with the arguments of its type.
    fn check_function(&mut self, subprog: usize) -> Rule {
        if subprog != 0 {
            self.state = State::new(subprog as u32);
        }
        self.state.in_sleepable = self.platform.place.sleepable;
        self.insn_idx = self.subprogs[subprog].start;
        self.state.first_insn = self.insn_idx;
        self.prev_insn_idx = None;
        if subprog != 0 || self.input.program_type == ProgramType::Ext {
            self.log.line(format_args!(
                "Validating {}() func#{subprog}...",
                self.subprogs[subprog].name
            ));
            let args = self.function_args(subprog)?;
            if self.subprogs[subprog].is_exception_callback {
                self.state.frame_mut().in_exception_callback = true;
                if *args != [ArgSpec::Scalar] {
                    return refuse("exception cb only supports single integer argument".into());
                }
            }
            for (at, &arg) in args.iter().enumerate() {
                let reg = self.argument_register(arg);
                self.set_reg(at as u8 + 1, reg);
            }
        } else {
            if !self.input.functions.is_empty() {
                // Only the log says why not.
                let fits = (self.log.wanted() || self.returns_number(0))
                    && match self.function_args(0) {
                        Ok(args) => *args == [ArgSpec::Ctx],
                        Err(fault) => {
                            for line in fault.lines.iter().filter(|line| !line.is_empty()) {
                                self.log.line(format_args!("{line}"));
                            }
                            false
                        }
                    };
                self.subprogs[0].unreliable |= !fits;
            }
            self.set_reg(1, Reg::pointer(Kind::Ctx, Flags::NONE));
            self.acquire_context_references();
        }
        self.walk()
    }

    /// What a register holds at the start of a function that takes `arg` there.
    fn argument_register(&mut self, arg: ArgSpec) -> Reg {
        match arg {
            ArgSpec::Scalar | ArgSpec::Arena => Reg::UNKNOWN,
            ArgSpec::Ctx => Reg::pointer(Kind::Ctx, Flags::NONE),
            ArgSpec::Dynptr => self.local_dynptr_argument(),
            ArgSpec::Mem { size, nullable } => {
                let (flags, id) = if nullable {
                    (Flags::MAYBE_NULL, self.new_id())
                } else {
                    (Flags::NONE, 0)
                };
                let mut reg = Reg::pointer(Kind::Mem, flags).to(Detail::Mem { size, dynptr_id: 0 });
                reg.id = id;
                reg
            }
            ArgSpec::UntrustedMem => Reg::pointer(Kind::Mem, Flags::RDONLY.with(Flags::UNTRUSTED))
                .to(Detail::Mem {
                    size: 0,
                    dynptr_id: 0,
                }),
            ArgSpec::Btf {
                btf,
                id,
                nullable,
                untrusted,
            } => {
                let mut flags = if untrusted {
                    Flags::UNTRUSTED
                } else {
                    Flags::TRUSTED
                };
                if nullable {
                    flags = flags.with(Flags::MAYBE_NULL);
                }
                let mut reg = Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id });
                reg.id = self.new_id();
                reg
            }
        }
    }
}
