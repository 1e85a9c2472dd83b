//! Signals that compiled code raises, where a proof is wrong: the entry returns, and says what happened.
//!
//! Invariants: the handler takes no lock and allocates nothing; it changes where a thread goes on only if the thread was
//! in the operations of compiled code that is registered; all else goes to the action that was there before. Code is
//! registered before anyone can run it, and no more once its memory may go.
//!
//! A fault close to the host's stack pointer is an overflow of the host's stack, which is not the program's, and is passed
//! on. So are faults in what compiled code calls.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Mutex, PoisonError};

/// What the handler knows of code. Entries are never freed, but used again.
struct Entry {
    /// Odd while the others change.
    version: AtomicUsize,
    /// Addresses of the operations' code.
    start: AtomicUsize,
    end: AtomicUsize,
    /// Where the entry is left with a stop.
    stop: AtomicUsize,
    /// The stack pointer there is in the run's register, and not the one of the moment.
    anchored: AtomicBool,
    next: Option<&'static Entry>,
}

/// The list's head: entries are put before it, and stay.
static ENTRIES: AtomicPtr<Entry> = AtomicPtr::new(std::ptr::null_mut());
/// Entries that nobody uses; held while any changes.
static FREE: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

/// Where compiled code lies, and how it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
    stop: usize,
    anchored: bool,
}

impl Entry {
    /// Only who holds [`FREE`] may call it.
    fn set(&self, place: Place) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // Whoever reads one of the new values sees the odd version too.
        fence(Ordering::Release);
        self.start.store(place.start, Ordering::Relaxed);
        self.end.store(place.end, Ordering::Relaxed);
        self.stop.store(place.stop, Ordering::Relaxed);
        self.anchored.store(place.anchored, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// Nothing if it changes at the moment: then it is of no code that runs.
    fn read(&self) -> Option<Place> {
        let version = self.version.load(Ordering::Acquire);
        let place = Place {
            start: self.start.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
            stop: self.stop.load(Ordering::Relaxed),
            anchored: self.anchored.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        let same = self.version.load(Ordering::Relaxed) == version;
        (version & 1 == 0 && same).then_some(place)
    }
}

/// The entry of code, for as long as this lives.
pub(super) struct Registered(&'static Entry);

impl Registered {
    /// Makes faults at addresses from `start` to `end` go on at `stop`. With `anchored`, the run's register holds the
    /// stack pointer that the code there expects.
    pub fn new(start: usize, end: usize, stop: usize, anchored: bool) -> Registered {
        host::install();
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = free.pop().unwrap_or_else(|| {
            let head = ENTRIES.load(Ordering::Relaxed);
            let entry = Box::into_raw(Box::new(Entry {
                version: AtomicUsize::new(0),
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                stop: AtomicUsize::new(0),
                anchored: AtomicBool::new(false),
                // SAFETY: null, or a leaked entry.
                next: unsafe { head.as_ref() },
            }));
            ENTRIES.store(entry, Ordering::Release);
            // SAFETY: it is leaked, and only changed through its atomic fields.
            unsafe { &*entry }
        });
        entry.set(Place {
            start,
            end,
            stop,
            anchored,
        });
        Registered(entry)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.set(Place {
            start: 0,
            end: 0,
            stop: 0,
            anchored: false,
        });
        free.push(self.0);
    }
}

/// The code that an address lies in. Of code that the calling thread runs it finds the entry, which does not change
/// then; ranges of code that is mapped at the same time do not overlap, so it finds no other.
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(dead_code)
)]
fn find(pc: usize) -> Option<Place> {
    // SAFETY: null, or an entry, which is never freed.
    let mut next = unsafe { ENTRIES.load(Ordering::Acquire).as_ref() };
    while let Some(entry) = next {
        match entry.read() {
            Some(place) if place.start <= pc && pc < place.end => return Some(place),
            _ => next = entry.next,
        }
    }
    None
}

/// What a fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub signal: i32,
    /// The address that was accessed, if the host says it.
    pub addr: Option<u64>,
    pub pc: usize,
    pub regs: [u64; 11],
}

/// Room for a fault on its way from the handler to whoever entered the code.
struct Slot {
    taken: AtomicBool,
    signal: AtomicI32,
    known: AtomicBool,
    addr: AtomicU64,
    pc: AtomicUsize,
    regs: [AtomicU64; 11],
}

/// A slot is taken for the few instructions between a fault and the end of the entry, so these are enough for many threads.
static SLOTS: [Slot; 64] = [const {
    Slot {
        taken: AtomicBool::new(false),
        signal: AtomicI32::new(0),
        known: AtomicBool::new(false),
        addr: AtomicU64::new(0),
        pc: AtomicUsize::new(0),
        regs: [const { AtomicU64::new(0) }; 11],
    }
}; 64];

/// Puts a fault by; answers for [`take`] where. Waits for a slot, but not for ever.
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(dead_code)
)]
fn put(fault: &Fault) -> Option<u64> {
    for _ in 0..1 << 20 {
        for (index, slot) in SLOTS.iter().enumerate() {
            if slot.taken.swap(true, Ordering::Acquire) {
                continue;
            }
            slot.signal.store(fault.signal, Ordering::Relaxed);
            slot.known.store(fault.addr.is_some(), Ordering::Relaxed);
            slot.addr.store(fault.addr.unwrap_or(0), Ordering::Relaxed);
            slot.pc.store(fault.pc, Ordering::Relaxed);
            for (room, value) in slot.regs.iter().zip(fault.regs) {
                room.store(value, Ordering::Relaxed);
            }
            return Some(index as u64);
        }
        std::hint::spin_loop();
    }
    None
}

/// The fault that an entry answered with, by the thread that it happened on.
pub(super) fn take(index: u64) -> Option<Fault> {
    let slot = SLOTS.get(usize::try_from(index).ok()?)?;
    let fault = Fault {
        signal: slot.signal.load(Ordering::Relaxed),
        addr: slot
            .known
            .load(Ordering::Relaxed)
            .then(|| slot.addr.load(Ordering::Relaxed)),
        pc: slot.pc.load(Ordering::Relaxed),
        regs: std::array::from_fn(|register| slot.regs[register].load(Ordering::Relaxed)),
    };
    slot.taken.store(false, Ordering::Release);
    Some(fault)
}

/// The handler, where the host's registers are known.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod host {
    use std::mem::{MaybeUninit, transmute};
    use std::ptr::null_mut;
    use std::sync::Once;

    use libc::{c_int, c_void, siginfo_t, ucontext_t};

    use super::*;
    use crate::jit::run::stop;

    const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    /// What `si_code` says where the processor does not tell the address, as it is none.
    const SI_KERNEL: c_int = 0x80;
    /// The homes of r0 to r10.
    const HOMES: [c_int; 11] = [
        libc::REG_RAX,
        libc::REG_RDI,
        libc::REG_RSI,
        libc::REG_RDX,
        libc::REG_RCX,
        libc::REG_R8,
        libc::REG_RBX,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
        libc::REG_RBP,
    ];
    /// Bytes below and above the stack pointer that compiled code touches as it enters functions.
    const STACK: (u64, u64) = (64, 1024);

    /// The actions that were there before, by the index in [`SIGNALS`].
    static BEFORE: [AtomicPtr<libc::sigaction>; 4] = [const { AtomicPtr::new(null_mut()) }; 4];

    /// Installs the handler, once in a process.
    pub fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
                let mut old = MaybeUninit::<libc::sigaction>::zeroed();
                // SAFETY: it only asks, and has room for the answer, of which zeros are a value.
                let mut action = unsafe {
                    if libc::sigaction(signal, null_mut(), old.as_mut_ptr()) != 0 {
                        continue;
                    }
                    old.assume_init()
                };
                // The handler may be asked for it as soon as it is there; what it gets is never freed.
                before.store(Box::into_raw(Box::new(action)), Ordering::Release);
                let function: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = caught;
                action.sa_sigaction = function as usize;
                // Overflows of the stack must find another; what the old action blocks stays blocked for it.
                action.sa_flags =
                    libc::SA_SIGINFO | libc::SA_ONSTACK | action.sa_flags & libc::SA_NODEFER;
                // SAFETY: the handler does only what a handler may, and passes on what is not its own.
                unsafe { libc::sigaction(signal, &action, null_mut()) };
            }
        });
    }

    extern "C" fn caught(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel gives a handler with SA_SIGINFO both, to nobody else; they live until it returns.
        let (known, registers) = unsafe {
            let context = &mut *context.cast::<ucontext_t>();
            (&*info, &mut context.uc_mcontext.gregs)
        };
        if known.si_code <= 0 || !leave(signal, known, registers) {
            pass_on(signal, info, context);
        }
    }

    /// Makes the thread leave the compiled code that it is in; answers whether it is.
    fn leave(signal: c_int, info: &siginfo_t, registers: &mut [i64; 23]) -> bool {
        let of = |register: c_int| registers[register as usize] as u64;
        let pc = of(libc::REG_RIP) as usize;
        let Some(place) = find(pc) else {
            return false;
        };
        let accessed = matches!(signal, libc::SIGSEGV | libc::SIGBUS) && info.si_code != SI_KERNEL;
        // SAFETY: the kernel fills in the address for these signals.
        let addr = accessed.then(|| unsafe { info.si_addr() } as u64);
        let stack = of(libc::REG_RSP);
        if let Some(addr) = addr
            && stack.wrapping_sub(STACK.0) <= addr
            && addr < stack.wrapping_add(STACK.1)
        {
            return false;
        }
        let fault = Fault {
            signal,
            addr,
            pc,
            regs: HOMES.map(of),
        };
        let Some(index) = put(&fault) else {
            return false;
        };
        if place.anchored {
            registers[libc::REG_RSP as usize] = registers[libc::REG_R12 as usize];
        }
        registers[libc::REG_RAX as usize] = index as i64;
        registers[libc::REG_RDX as usize] = stop::FAULT as i64;
        registers[libc::REG_RIP as usize] = place.stop as i64;
        true
    }

    /// Does what would have been done without this handler.
    fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        let index = SIGNALS.iter().position(|known| *known == signal);
        let Some(before) = index.map(|index| BEFORE[index].load(Ordering::Acquire)) else {
            return;
        };
        // SAFETY: `install` has stored it before it made this the handler, and it is never freed.
        let action = unsafe { &*before };
        // SAFETY: the kernel gave it to the handler.
        let sent = unsafe { (*info).si_code } <= 0;
        match action.sa_sigaction {
            libc::SIG_IGN if sent => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // The instruction runs once more, and the kernel ends the process; what was sent is sent again.
                // SAFETY: a handler may call both.
                unsafe {
                    libc::sigaction(signal, action, null_mut());
                    if sent {
                        libc::raise(signal);
                    }
                }
            }
            function if action.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: it was the process's handler, of the kind that its flags say.
                let function = unsafe {
                    transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(function)
                };
                function(signal, info, context);
            }
            function => {
                // SAFETY: as above.
                let function = unsafe { transmute::<usize, extern "C" fn(c_int)>(function) };
                function(signal);
            }
        }
    }
}

/// Elsewhere faults go where they always went.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod host {
    pub fn install() {}
}

#[cfg(test)]
mod tests;
