//! What a host offers to a plug-in, and loading it.
//!
//! Invariants: nothing is offered that was not asked for, but for the helpers that every plug-in may have ([`LINUX`]),
//! which reach nothing outside of the plug-in; the first mistake of the host is what loading answers with.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use skep_spec::insn::Insn;
use skep_verifier::Host;
use skep_verifier::platform::{ExitRange, HelperSet};
use skep_vm::program::Limits;
use skep_vm::typed::{Context, Structure, Type, Typed, value_bytes};
use skep_vm::{JitOptions, Map};

use crate::error::LoadError;
use crate::helper::{Declared, IntoFunction, IntoHelper, Made};
use crate::load::{self, Source};
use crate::plugin::Plugin;
use crate::types::{self, Seen};

/// Linux's helpers that every plug-in may call: maps, ring buffers, loops, locks, clocks, random numbers, strings.
pub const LINUX: &[u32] = &[
    1, 2, 3, 5, 7, 8, 42, 87, 88, 89, 93, 94, 105, 106, 125, 130, 131, 132, 133, 134, 160, 164,
    165, 181, 182, 195, 208,
];

/// A host's offer.
pub struct Builder<C, S = ()> {
    helpers: Vec<Declared>,
    structures: Vec<&'static Structure>,
    linux: Vec<u32>,
    globals: Vec<(String, Vec<u8>)>,
    maps: Vec<(String, Arc<dyn Map>)>,
    limits: Limits,
    returns: ExitRange,
    cpus: u32,
    sandboxed: bool,
    interpreted: bool,
    mistake: Option<String>,
    of: PhantomData<fn(&mut C, &S)>,
}

impl<C: Context, S: Any> Builder<C, S> {
    pub(crate) fn new() -> Builder<C, S> {
        Builder {
            helpers: Vec::new(),
            structures: Vec::new(),
            linux: LINUX.to_vec(),
            globals: Vec::new(),
            maps: Vec::new(),
            limits: Limits::default(),
            returns: ExitRange::Ignored,
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
            sandboxed: false,
            interpreted: false,
            mistake: None,
            of: PhantomData,
        }
    }

    fn add(&mut self, made: Result<Made, String>) {
        match made {
            Ok(Made(declared)) => self.helpers.push(declared),
            Err(mistake) => self.mistake = self.mistake.take().or(Some(mistake)),
        }
    }

    /// A helper that the plug-in may call by `number`, 1000 or more: a closure that takes the state of the call and up to
    /// five registers of arguments. A slice takes two registers.
    pub fn helper<P>(
        mut self,
        name: &'static str,
        number: u32,
        closure: impl IntoHelper<S, P>,
    ) -> Builder<C, S> {
        self.add(closure.into_helper(name, number));
        self
    }

    /// The same for a closure that does without the state.
    pub fn function<P>(
        mut self,
        name: &'static str,
        number: u32,
        closure: impl IntoFunction<P>,
    ) -> Builder<C, S> {
        self.add(closure.into_function(name, number));
        self
    }

    /// Declares a structure in the header, for plug-ins that hand one to a helper.
    pub fn structure<T: Typed>(mut self) -> Builder<C, S> {
        if let Type::Structure(structure) = T::TYPE {
            self.structures.push(structure);
        }
        self
    }

    /// Which of Linux's helpers there are, in place of [`LINUX`].
    pub fn linux_helpers(mut self, numbers: &[u32]) -> Builder<C, S> {
        self.linux = numbers.to_vec();
        self
    }

    /// What the plug-in may return: a plug-in that may return anything else is refused. Any number, if not said.
    pub fn returns(mut self, range: std::ops::RangeInclusive<i32>) -> Builder<C, S> {
        self.returns = ExitRange::Within(*range.start(), *range.end());
        self
    }

    /// Sets a global variable of the plug-in before it is loaded. Constants (`const volatile` in C) are known to the
    /// verifier, which leaves out what they rule out.
    pub fn global<T: Typed>(mut self, name: &str, value: &T) -> Builder<C, S> {
        self.globals
            .push((name.to_owned(), value_bytes(value).to_vec()));
        self
    }

    /// A map that the plug-in gets in place of its own of that name, for plug-ins that share one. It must be the same in
    /// kind and sizes.
    pub fn map(mut self, name: &str, map: Arc<dyn Map>) -> Builder<C, S> {
        self.maps.push((name.to_owned(), map));
        self
    }

    /// What each call may use up; no limit if not said.
    pub fn limits(mut self, limits: Limits) -> Builder<C, S> {
        self.limits = limits;
        self
    }

    /// How many CPUs per-CPU maps have values for; the machine's own number if not said.
    pub fn cpus(mut self, cpus: u32) -> Builder<C, S> {
        self.cpus = cpus.max(1);
        self
    }

    /// Does not verify the plug-in but checks each of its accesses as it runs. Such a plug-in may run forever: give it
    /// limits.
    pub fn sandboxed(mut self) -> Builder<C, S> {
        self.sandboxed = true;
        self
    }

    /// Does not compile the plug-in to machine code.
    pub fn interpreted(mut self) -> Builder<C, S> {
        self.interpreted = true;
        self
    }

    fn seen() -> Seen {
        Seen {
            structure: C::structure(),
            layout: C::layout(),
        }
    }

    /// A header for plug-ins in C: the context, and how to call the helpers given so far.
    pub fn c_header(&self) -> String {
        let helpers: Vec<&str> = self.helpers.iter().map(|helper| &*helper.c).collect();
        types::header(Self::seen(), &helpers, &self.structures)
    }

    /// Loads a program of an object, by the name of its function or section. The object is an ELF file or skep's text.
    pub fn load(self, object: &[u8], program: &str) -> Result<Plugin<C, S>, LoadError> {
        self.build(Source::object(object, program)?)
    }

    /// Loads plain instructions.
    pub fn load_insns(self, insns: &[Insn]) -> Result<Plugin<C, S>, LoadError> {
        self.build(Source::insns(insns))
    }

    fn build(self, source: Source) -> Result<Plugin<C, S>, LoadError> {
        if let Some(mistake) = self.mistake {
            return Err(LoadError::Host(mistake));
        }
        let mut host = Host::new(C::structure().name, C::layout());
        host.data_writable = C::structure().data_writable();
        host.helpers = self
            .helpers
            .iter()
            .map(|helper| helper.helper.prototype)
            .collect();
        let known = |id: &u32| skep_vm::helper::by_id(*id).is_some();
        if let Some(unknown) = self.linux.iter().find(|id| !known(id)) {
            return Err(LoadError::Host(format!(
                "helper #{unknown} is not one of those of Linux's that there are here"
            )));
        }
        host.linux_helpers = HelperSet::of(&self.linux);
        host.result = self.returns;
        host.check().map_err(LoadError::Host)?;
        let offer = load::Offer {
            host: Arc::new(host),
            types: Arc::new(
                types::btf(Self::seen()).map_err(|error| LoadError::Host(error.to_string()))?,
            ),
            helpers: self
                .helpers
                .into_iter()
                .map(|declared| declared.helper)
                .collect(),
            globals: self.globals,
            maps: self.maps,
            cpus: self.cpus,
            sandboxed: self.sandboxed,
        };
        let loaded = load::load(source, &offer)?;
        let not_compiled = match self.interpreted {
            true => None,
            false => loaded.program.compile(&JitOptions::default()).err(),
        };
        Ok(Plugin {
            program: loaded.program,
            maps: loaded.maps,
            limits: self.limits,
            not_compiled,
            random: Default::default(),
            cpus: self.cpus,
            of: PhantomData,
        })
    }
}
