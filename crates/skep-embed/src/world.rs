//! What a plug-in can ask of the world: the clock, random numbers, the CPU it runs on, and its host's state.
//!
//! Invariant: making one takes no time and no memory, since every call does.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_vm::env::{Clock, Env};

/// A call's world.
pub(crate) struct World<'a> {
    pub state: &'a dyn Any,
    pub random: &'a AtomicU64,
    pub cpus: u32,
}

impl Env for World<'_> {
    fn cpu(&self) -> u32 {
        skep_vm::env::host_cpu() % self.cpus
    }

    fn random_u32(&self) -> u32 {
        // A Weyl sequence through the clock: enough for sampling, which is what programs use it for.
        let step = self
            .random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut z = step ^ self.clock(Clock::Monotonic);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn state(&self) -> Option<&dyn Any> {
        Some(self.state)
    }
}
