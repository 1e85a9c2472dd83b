//! How a reader of records waits for the next one.
//!
//! Invariants: a bell that rings while nobody waits costs one load; a waiter that was asleep looks again whenever it rings.
//! Where there is no system nobody can sleep: waiting is looking once.

#[cfg(feature = "std")]
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
#[cfg(feature = "std")]
use std::sync::{Condvar, Mutex};

/// Puts a waiting thread to sleep and wakes it; costs the writer one load when nobody waits.
#[cfg(feature = "std")]
#[derive(Default)]
pub(super) struct Bell {
    waiting: AtomicU32,
    rung: Mutex<u64>,
    bell: Condvar,
}

#[cfg(feature = "std")]
impl Bell {
    pub(super) fn ring(&self) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            *self
                .rung
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
            self.bell.notify_all();
        }
    }

    /// Waits until `ready` or rung, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration, ready: impl Fn() -> bool) -> bool {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let rung = self
            .rung
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = *rung;
        if !ready() {
            let asleep = |now: &mut u64| *now == before;
            drop(self.bell.wait_timeout_while(rung, timeout, asleep));
        } else {
            drop(rung);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        ready()
    }
}

/// Where there is nobody to wake.
#[cfg(not(feature = "std"))]
#[derive(Default)]
pub(super) struct Bell {}

#[cfg(not(feature = "std"))]
impl Bell {
    pub(super) fn ring(&self) {}

    /// Whether it is ready now.
    pub(super) fn wait(&self, _timeout: Duration, ready: impl Fn() -> bool) -> bool {
        ready()
    }
}
