//! What the kernel declares about its kfuncs: flags, and which kinds of program may call each.
//!
//! Invariant: every answer comes from the tables of `skep-spec`.

use skep_spec::kfunc::kernel;

use crate::check::iter::IterUse;
use crate::check::kfunc::resolve::KfuncFlags;
use crate::platform::Platform;

/// The flags of a kfunc, and whether the program may call it. Unknown ones have no flags and may not.
pub(crate) fn of(name: &str, platform: &Platform<'_>) -> (KfuncFlags, bool) {
    let Some(kfunc) = kernel::by_name(name) else {
        return (KfuncFlags::default(), false);
    };
    let has = |flag| kfunc.flags & flag != 0;
    let iter = if has(kernel::ITER_NEW) {
        Some(IterUse::New)
    } else if has(kernel::ITER_NEXT) {
        Some(IterUse::Next)
    } else if has(kernel::ITER_DESTROY) {
        Some(IterUse::Destroy)
    } else {
        None
    };
    let flags = KfuncFlags {
        acquire: has(kernel::ACQUIRE),
        release: has(kernel::RELEASE),
        ret_null: has(kernel::RET_NULL),
        // What is given back must be there.
        trusted_args: has(kernel::TRUSTED_ARGS | kernel::RELEASE),
        sleepable: has(kernel::SLEEPABLE),
        destructive: has(kernel::DESTRUCTIVE),
        rcu: has(kernel::RCU),
        rcu_protected: has(kernel::RCU_PROTECTED),
        iter,
    };
    let allowed =
        platform.profile.kfunc_exists(name) && kfunc.set.contains(&platform.place.caller(platform));
    (flags, allowed)
}
