//! A loaded plug-in, and calling it.
//!
//! Invariants: a plug-in never changes once it is loaded, so that any number of threads may call it at once; a call
//! takes no lock and no memory from the heap.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use skep_vm::program::{Limits, Program};
use skep_vm::typed::{Context, TypedContext};
use skep_vm::{Ctx, JitError, Map};

use crate::builder::Builder;
use crate::error::CallError;
use crate::world::World;

/// A plug-in that takes a `C` for its context, and a `S` for its helpers.
pub struct Plugin<C, S = ()> {
    pub(crate) program: Arc<Program>,
    pub(crate) maps: Vec<(String, Arc<dyn Map>)>,
    pub(crate) limits: Limits,
    pub(crate) not_compiled: Option<JitError>,
    pub(crate) random: AtomicU64,
    pub(crate) cpus: u32,
    pub(crate) of: PhantomData<fn(&mut C, &S)>,
}

impl<C: Context, S: Any> Plugin<C, S> {
    /// What the host offers, and then the plug-in.
    pub fn builder() -> Builder<C, S> {
        Builder::new()
    }

    /// Runs the plug-in on a context, its helpers on that state; answers what it returns.
    #[inline]
    pub fn call_with<D>(&self, context: &mut D, state: &S) -> Result<u64, CallError>
    where
        D: Context<Family = C::Family>,
    {
        self.call_within(context, state, &self.limits)
    }

    /// The same within other limits than the plug-in was built with.
    #[inline]
    pub fn call_within<D>(
        &self,
        context: &mut D,
        state: &S,
        limits: &Limits,
    ) -> Result<u64, CallError>
    where
        D: Context<Family = C::Family>,
    {
        let world = World {
            state,
            random: &self.random,
            cpus: self.cpus,
        };
        let mut context = Ctx::Typed(TypedContext::new(context));
        Ok(self.program.run(&mut context, &world, limits)?)
    }

    /// One of the plug-in's maps, to read what it has counted, or to tell it something.
    pub fn map(&self, name: &str) -> Option<&Arc<dyn Map>> {
        let mut maps = self.maps.iter();
        maps.find(|(known, _)| known == name).map(|(_, map)| map)
    }

    /// Whether it runs as machine code.
    pub fn is_compiled(&self) -> bool {
        self.program.is_compiled()
    }

    /// Why it could not be compiled, and so runs in the interpreter.
    pub fn not_compiled(&self) -> Option<&JitError> {
        self.not_compiled.as_ref()
    }

    /// Whether it was proven, and so runs without checks.
    pub fn is_verified(&self) -> bool {
        self.program.is_proven()
    }
}

impl<C: Context> Plugin<C> {
    /// Runs the plug-in on a context; answers what it returns.
    #[inline]
    pub fn call<D>(&self, context: &mut D) -> Result<u64, CallError>
    where
        D: Context<Family = C::Family>,
    {
        self.call_with(context, &())
    }
}

impl<C, S> fmt::Debug for Plugin<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.program).finish()
    }
}
