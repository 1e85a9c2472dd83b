//! One verification by itself: a panic or a walk without end is an answer, not the end of the run.
//!
//! Invariant: what runs here cannot take the process with it, except by overflowing its stack, which is that of a
//! usual main thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, mpsc};
use std::time::Duration;

use skep::verifier::input::Input;
use skep::verifier::{Stats, verify};

/// A usual main thread's stack.
const STACK: usize = 8 << 20;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Panicked(String),
    TooLate,
}

/// Runs it on a thread of its own for at most that long. What takes longer is left to itself.
pub fn isolated<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            PANIC.with_borrow_mut(|slot| *slot = Some(info.to_string()));
        }));
    });
    let (send, receive) = mpsc::channel();
    let spawned = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            let answer = catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
                let words = PANIC.take().unwrap_or_default();
                Trouble::Panicked(words.replace('\n', " "))
            });
            // The receiver may have given up.
            let _ = send.send(answer);
        });
    if let Err(error) = spawned {
        return Err(Trouble::Panicked(format!("no thread: {error}")));
    }
    receive.recv_timeout(limit).unwrap_or(Err(Trouble::TooLate))
}

/// What the verifier said.
#[derive(Clone, Debug)]
pub struct Said {
    pub accepted: bool,
    pub errno: i32,
    /// The stable id of the reason.
    pub code: &'static str,
    pub insn: Option<usize>,
    pub stats: Stats,
    pub log: String,
}

/// The least time of `repeat` verifications at that log level, and what was said.
pub fn verdict(mut input: Input, log_level: u32, repeat: u32) -> Said {
    input.log_level = log_level;
    let mut said = once(&input);
    for _ in 1..repeat {
        let again = once(&input);
        said.stats.nanoseconds = said.stats.nanoseconds.min(again.stats.nanoseconds);
    }
    said
}

fn once(input: &Input) -> Said {
    match verify(input) {
        Ok(verified) => Said {
            accepted: true,
            errno: 0,
            code: "",
            insn: None,
            stats: verified.stats,
            log: verified.log,
        },
        Err(rejection) => Said {
            accepted: false,
            errno: rejection.fault.errno,
            code: rejection.fault.code,
            insn: rejection.fault.insn,
            stats: rejection.stats,
            log: rejection.log,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_endless_walks_are_answers() {
        let limit = Duration::from_millis(50);
        assert_eq!(isolated(limit, || 7), Ok(7));
        let broken: Result<(), _> = isolated(limit, || panic!("no"));
        assert!(matches!(broken, Err(Trouble::Panicked(words)) if words.contains("no")));
        let late = isolated(limit, || std::thread::sleep(Duration::from_secs(5)));
        assert_eq!(late, Err(Trouble::TooLate));
    }
}
