//! Helpers of the host's own: closures that the image brought, each with the prototype that a verifier goes by.
//!
//! Invariants: a closure reaches memory and maps only through arguments that its prototype calls so, and only as it says;
//! it is found by the calling instruction, which names its place; a panic in it does not unwind through the run but
//! ends it.

use alloc::boxed::Box;
use alloc::format;
#[cfg(feature = "std")]
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
#[cfg(feature = "std")]
use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_spec::helper::{ArgKind, ArgType, Helper};

use super::{Call, HelperFn};
use crate::map::Map;
use crate::trap::{Trap, TrapCause};

/// What such a helper does; answers r0.
pub type OwnHelperFn = dyn Fn(&mut Arguments<'_, '_, '_>) -> Result<u64, Trap> + Send + Sync;

/// A helper of the host's own.
#[derive(Clone)]
pub struct OwnHelper {
    /// Its number, which must be none of Linux's, its name, and what its arguments are.
    pub prototype: Helper,
    pub run: Arc<OwnHelperFn>,
}

impl fmt::Debug for OwnHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.prototype.name, self.prototype.id)
    }
}

/// The arguments of one call.
pub struct Arguments<'a, 'c, 'p> {
    call: &'a mut Call<'c, 'p>,
    prototype: &'p Helper,
    values: [u64; 5],
}

impl<'p> Arguments<'_, '_, 'p> {
    /// The register of argument `at`, from 0.
    pub fn number(&self, at: usize) -> u64 {
        self.values.get(at).copied().unwrap_or(0)
    }

    fn arg(&self, at: usize) -> Option<&'p ArgType> {
        self.prototype.args.get(at)
    }

    /// How many bytes the memory has that argument `at` is the address of.
    fn memory(&self, at: usize) -> Result<u64, Trap> {
        match self.arg(at).map(|arg| (arg.kind, arg.size)) {
            Some((ArgKind::Mem, _)) => Ok(self.number(at + 1)),
            Some((ArgKind::FixedMem, size)) => Ok(u64::from(size)),
            _ => Err(self.refuse(format!("argument {at} is no memory"))),
        }
    }

    /// The memory that argument `at` is the address of: of the prototype's size, or of as many bytes as the next argument
    /// says.
    pub fn read(&self, at: usize) -> Result<&[u8], Trap> {
        let len = self.memory(at)?;
        self.call.read(self.number(at), len)
    }

    /// The same, to be written, if the prototype says that it is.
    pub fn write(&mut self, at: usize) -> Result<&mut [u8], Trap> {
        let len = self.memory(at)?;
        if !self.arg(at).is_some_and(|arg| arg.is(ArgType::WRITTEN)) {
            return Err(self.refuse(format!("argument {at} is only for reading")));
        }
        self.call.write(self.number(at), len)
    }

    /// The map that argument `at` is.
    pub fn map(&self, at: usize) -> Result<&'p dyn Map, Trap> {
        match self.arg(at).map(|arg| arg.kind) {
            Some(ArgKind::Map) => self.call.map(self.number(at)),
            _ => Err(self.refuse(format!("argument {at} is no map"))),
        }
    }

    /// The same, shared.
    pub fn map_arc(&self, at: usize) -> Result<Arc<dyn Map>, Trap> {
        match self.arg(at).map(|arg| arg.kind) {
            Some(ArgKind::Map) => self.call.map_arc(self.number(at)),
            _ => Err(self.refuse(format!("argument {at} is no map"))),
        }
    }

    /// What the host gave this run.
    pub fn state(&self) -> Option<&'p dyn Any> {
        self.call.env().state()
    }

    /// The CPU that the program believes to run on.
    pub fn cpu(&self) -> u32 {
        self.call.cpu()
    }

    /// Ends the run.
    #[cold]
    pub fn refuse(&self, what: impl Into<Box<str>>) -> Trap {
        self.call.trap(TrapCause::Helper {
            name: self.prototype.name,
            what: what.into(),
        })
    }
}

/// What every call of one leads to.
pub(crate) const OWN: HelperFn = own_helper;

fn own_helper(call: &mut Call<'_, '_>, values: [u64; 5]) -> Result<u64, Trap> {
    let program = call.program();
    let place = program.ops.get(call.pc()).map(|op| op.imm as usize);
    let own = place.and_then(|place| program.own_helpers.get(place)?.as_ref());
    let Some(own) = own else {
        return Err(call.trap(TrapCause::UnknownHelper(0)));
    };
    let mut arguments = Arguments {
        call,
        prototype: &own.prototype,
        values,
    };
    run(&*own.run, &mut arguments)
}

/// Runs the closure; a panic is an error of the run. It must not unwind through compiled code.
#[cfg(feature = "std")]
fn run(closure: &OwnHelperFn, arguments: &mut Arguments<'_, '_, '_>) -> Result<u64, Trap> {
    match catch_unwind(AssertUnwindSafe(|| closure(arguments))) {
        Ok(result) => result,
        Err(panic) => {
            let what = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
                (Some(text), _) => text,
                (None, Some(text)) => text.as_str(),
                (None, None) => "for no known reason",
            };
            Err(arguments.refuse(format!("panicked: {what}")))
        }
    }
}

/// Runs the closure. Where there is no system there is no unwinding either, and no compiled code.
#[cfg(not(feature = "std"))]
fn run(closure: &OwnHelperFn, arguments: &mut Arguments<'_, '_, '_>) -> Result<u64, Trap> {
    closure(arguments)
}
