//! Locks: the system's, or, where there is no system, ones that spin.
//!
//! Invariant: both sorts have the same names and methods, as far as they are used here; a lock is held for as long as its
//! guard lives.

#[cfg(feature = "std")]
pub(crate) use std::sync::{
    Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

#[cfg(not(feature = "std"))]
pub(crate) use spinning::{Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets others run before a lock is tried again.
pub(crate) fn wait_a_little() {
    #[cfg(feature = "std")]
    std::thread::yield_now();
    #[cfg(not(feature = "std"))]
    core::hint::spin_loop();
}

#[cfg(not(feature = "std"))]
mod spinning {
    use core::cell::UnsafeCell;
    use core::ops::{Deref, DerefMut};
    use core::sync::atomic::{AtomicU32, Ordering};

    /// What a lock answers that a panic left; there is none, since nothing unwinds here.
    #[derive(Debug)]
    pub(crate) struct PoisonError<G>(G);

    impl<G> PoisonError<G> {
        pub(crate) fn into_inner(self) -> G {
            self.0
        }
    }

    /// All the readers that there can be at once, and one more: a writer's.
    const WRITER: u32 = u32::MAX;

    /// Many readers or one writer.
    #[derive(Debug)]
    pub(crate) struct RwLock<T> {
        /// How many read, or [`WRITER`].
        holders: AtomicU32,
        value: UnsafeCell<T>,
    }

    // SAFETY: the value is reached only through guards, of which there is one for writing or some for reading.
    unsafe impl<T: Send> Send for RwLock<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

    impl<T: Default> Default for RwLock<T> {
        fn default() -> RwLock<T> {
            RwLock::new(T::default())
        }
    }

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> RwLock<T> {
            RwLock {
                holders: AtomicU32::new(0),
                value: UnsafeCell::new(value),
            }
        }

        pub(crate) fn read(
            &self,
        ) -> Result<RwLockReadGuard<'_, T>, PoisonError<RwLockReadGuard<'_, T>>> {
            loop {
                let readers = self.holders.load(Ordering::Relaxed);
                let free = readers < WRITER - 1;
                if free
                    && self
                        .holders
                        .compare_exchange_weak(
                            readers,
                            readers + 1,
                            Ordering::Acquire,
                            Ordering::Relaxed,
                        )
                        .is_ok()
                {
                    return Ok(RwLockReadGuard { lock: self });
                }
                core::hint::spin_loop();
            }
        }

        pub(crate) fn write(
            &self,
        ) -> Result<RwLockWriteGuard<'_, T>, PoisonError<RwLockWriteGuard<'_, T>>> {
            while self
                .holders
                .compare_exchange_weak(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                core::hint::spin_loop();
            }
            Ok(RwLockWriteGuard { lock: self })
        }
    }

    #[derive(Debug)]
    pub(crate) struct RwLockReadGuard<'a, T> {
        lock: &'a RwLock<T>,
    }

    impl<T> Deref for RwLockReadGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: the guard keeps writers away.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> Drop for RwLockReadGuard<'_, T> {
        fn drop(&mut self) {
            self.lock.holders.fetch_sub(1, Ordering::Release);
        }
    }

    #[derive(Debug)]
    pub(crate) struct RwLockWriteGuard<'a, T> {
        lock: &'a RwLock<T>,
    }

    impl<T> Deref for RwLockWriteGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: the guard keeps all others away.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> DerefMut for RwLockWriteGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: the guard keeps all others away.
            unsafe { &mut *self.lock.value.get() }
        }
    }

    impl<T> Drop for RwLockWriteGuard<'_, T> {
        fn drop(&mut self) {
            self.lock.holders.store(0, Ordering::Release);
        }
    }

    /// Somebody holds the lock.
    #[derive(Debug)]
    pub(crate) struct Taken;

    /// One at a time.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(RwLock<T>);

    pub(crate) type MutexGuard<'a, T> = RwLockWriteGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Mutex<T> {
            Mutex(RwLock::new(value))
        }

        pub(crate) fn lock(&self) -> Result<MutexGuard<'_, T>, PoisonError<MutexGuard<'_, T>>> {
            self.0.write()
        }

        /// The lock if it is free.
        pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, Taken> {
            let holders = &self.0.holders;
            match holders.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => Ok(RwLockWriteGuard { lock: &self.0 }),
                Err(_) => Err(Taken),
            }
        }
    }

    /// A value that is made once.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: RwLock<Option<T>>,
    }

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> OnceLock<T> {
            OnceLock {
                value: RwLock::new(None),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
            let value: *const Option<T> = &*value;
            // SAFETY: a value that is there is never written again while the cell lives.
            unsafe { &*value }.as_ref()
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
            let value: *const T = value.get_or_insert_with(make);
            // SAFETY: as above.
            unsafe { &*value }
        }
    }
}
