//! What happens in a supervised process tree, and which of it somebody wants to know.
//!
//! Invariants: an [`Event`] carries facts only (numbers, registers, names), never a format; records and arguments are
//! made from it in `tracepoint.rs`. A call that is in no set of the [`Interest`] never stops the child.

use super::arch::Abi;

/// One thing that happened, told while the task it happened to is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A system call is about to start.
    SysEnter { nr: i64, args: [u64; 6], abi: Abi },
    /// A system call is about to return to the program.
    SysExit { nr: i64, ret: i64, abi: Abi },
    /// The current task made another one: a process or, with `thread`, a thread of its own process.
    Fork { child_tid: i32, thread: bool },
    /// The current task runs another program now. `old_tid` differs from its id when a thread other than the leader called.
    Exec { filename: &'a [u8], old_tid: i32 },
    /// The current task ends. `group_dead`: it was the last of its process.
    Exit { code: i32, group_dead: bool },
}

/// A set of system call numbers of the native ABI.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CallSet {
    bits: [u64; CallSet::WORDS],
    all: bool,
}

impl CallSet {
    const WORDS: usize = 16;
    /// Numbers from here on can only be asked for through [`CallSet::all`].
    pub const LIMIT: u32 = CallSet::WORDS as u32 * 64;

    pub const fn none() -> CallSet {
        CallSet {
            bits: [0; CallSet::WORDS],
            all: false,
        }
    }

    /// Every call, also of the other ABIs and with numbers nobody has given out yet.
    pub const fn all() -> CallSet {
        CallSet {
            bits: [u64::MAX; CallSet::WORDS],
            all: true,
        }
    }

    /// Answers whether the number can be held.
    pub fn insert(&mut self, nr: u32) -> bool {
        match self.bits.get_mut(nr as usize / 64) {
            Some(word) => {
                *word |= 1 << (nr % 64);
                true
            }
            None => self.all,
        }
    }

    pub fn contains(&self, nr: i64) -> bool {
        match usize::try_from(nr).ok().and_then(|nr| {
            self.bits
                .get(nr / 64)
                .map(|word| word >> (nr % 64) & 1 == 1)
        }) {
            Some(held) => held,
            None => self.all,
        }
    }

    pub fn is_all(&self) -> bool {
        self.all
    }

    pub fn is_empty(&self) -> bool {
        !self.all && self.bits.iter().all(|&word| word == 0)
    }

    pub fn union(&self, other: &CallSet) -> CallSet {
        let mut bits = self.bits;
        for (word, more) in bits.iter_mut().zip(other.bits) {
            *word |= more;
        }
        CallSet {
            bits,
            all: self.all || other.all,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..CallSet::LIMIT).filter(|&nr| self.contains(nr.into()))
    }
}

impl std::fmt::Debug for CallSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.all {
            return f.write_str("CallSet(all)");
        }
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What the supervisor has to report; everything else runs at full speed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    pub enter: CallSet,
    pub exit: CallSet,
    pub fork: bool,
    pub exec: bool,
    pub task_exit: bool,
}

impl Interest {
    /// Both sides of every system call, and the life of tasks.
    pub fn everything() -> Interest {
        Interest {
            enter: CallSet::all(),
            exit: CallSet::all(),
            fork: true,
            exec: true,
            task_exit: true,
        }
    }

    /// The interest of two listeners.
    pub fn union(&self, other: &Interest) -> Interest {
        Interest {
            enter: self.enter.union(&other.enter),
            exit: self.exit.union(&other.exit),
            fork: self.fork || other.fork,
            exec: self.exec || other.exec,
            task_exit: self.task_exit || other.task_exit,
        }
    }

    pub fn calls(&self) -> CallSet {
        self.enter.union(&self.exit)
    }
}
