//! In place of the compiler where there is no system that gives executable memory.
//!
//! Invariant: no program is ever compiled, so nothing here runs but the refusal.

use core::fmt;

use crate::machine::Machine;
use crate::program::Program;
use crate::trap::Trap;

/// How to compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitOptions {}

/// Why a program stays with the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JitError {
    /// There is no compiler in this build.
    Absent,
}

impl fmt::Display for JitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no compiler in this build; the interpreter runs the program")
    }
}

impl core::error::Error for JitError {}

/// The machine code of a program: there is none.
#[derive(Clone, Debug)]
pub enum Listing {}

/// The compiled forms of a program: there are none.
pub(crate) enum Jit {}

/// A program that needs no machine: there is none.
pub(crate) enum Lean {}

impl Lean {
    /// # Safety
    ///
    /// Nobody can call it.
    pub unsafe fn call(self, _r1: u64, _r2: u64) -> run::Answer {
        match self {}
    }
}

impl Jit {
    pub fn new(_program: &Program, _options: &JitOptions) -> Result<Jit, JitError> {
        Err(JitError::Absent)
    }

    pub fn lean(&self) -> Option<Lean> {
        match *self {}
    }

    pub fn listing(&self) -> Listing {
        match *self {}
    }

    pub fn code(&self, _program: &Program, _limited: bool) -> Option<&Compiled> {
        match *self {}
    }
}

/// Compiled code of one program: there is none.
pub(crate) enum Compiled {}

impl Compiled {
    pub fn start(&self) -> usize {
        match *self {}
    }

    pub fn function(&self, _index: usize) -> usize {
        match *self {}
    }
}

pub(crate) fn exec<'p>(
    _machine: &mut Machine<'p>,
    _program: &'p Program,
    code: &Compiled,
    _target: usize,
    _args: [u64; 5],
) -> Result<u64, Trap> {
    match *code {}
}

/// Never asked for: nothing compiled has faulted.
pub(crate) fn faulted(program: &Program, _value: u64) -> Trap {
    Trap {
        pc: 0,
        cause: crate::trap::TrapCause::Interrupted,
        program: program.name().into(),
        line: None,
        regs: alloc::boxed::Box::new([0; 11]),
    }
}

pub(crate) mod run {
    use crate::program::Program;

    /// What compiled code would answer.
    pub(crate) struct Answer {
        pub value: u64,
        pub stop: u64,
    }

    /// What a run's code would share with the machine.
    pub(crate) struct Run {
        pub left: i64,
        pub granted: i64,
        pub limited: bool,
        pub compiled: bool,
    }

    impl Run {
        pub const fn new(_program: *const Program) -> Run {
            Run {
                left: 0,
                granted: 0,
                limited: false,
                compiled: false,
            }
        }
    }
}
