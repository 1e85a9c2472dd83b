//! Kernels to verify for that need no file: the embedded engine, and this machine's types.
//!
//! Invariant: reading this machine's types is a plain read of a file; where it cannot be read there are no types.

use std::sync::Arc;

use skep_btf::Btf;
use skep_spec::map::MapType;
use skep_spec::profile::{Available, Profile};
use skep_spec::program::ProgramType;
use skep_spec::{helper, kfunc};

use crate::Embedded;
use crate::engine::{Engine, Feature};

/// The embedded engine as a kernel: the rules of the default profile over what the engine has.
pub fn embedded_profile() -> Profile {
    let engine = Embedded::new();
    let has = |feature: Feature| engine.supports(&feature).is_ok();
    let programs: Vec<ProgramType> = ProgramType::ALL
        .iter()
        .copied()
        .filter(|&program| has(Feature::Program(program)))
        .collect();
    let mut kfuncs: Vec<String> = kfunc::ALL
        .iter()
        .map(|kfunc| kfunc.name.to_owned())
        .filter(|name| has(Feature::Kfunc(name.clone())))
        .collect();
    kfuncs.sort();
    Profile::embedded(Available {
        helpers: helper::all()
            .iter()
            .map(|helper| helper.id)
            .filter(|&id| has(Feature::Helper(id)))
            .collect(),
        kfuncs,
        programs: helper::ProgramSet::of(&programs),
        maps: MapType::ALL
            .iter()
            .copied()
            .filter(|&map| has(Feature::Map(map)))
            .collect(),
    })
}

/// Types for that kernel: the embedded engine's own, or those of the kernel that runs here.
pub fn types_of(profile: &Profile) -> Option<Arc<Btf>> {
    if profile.only.is_some() {
        return Embedded::new().types().ok();
    }
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Btf::parse(bytes).ok().map(Arc::new)
}
