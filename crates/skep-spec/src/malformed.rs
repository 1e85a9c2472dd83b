//! The one error of every binary reader: what was being read, at which offset, and why it cannot be.

use alloc::borrow::Cow;
use core::fmt;

/// Bytes that are not what they should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// What was being read: `ELF`, `.BTF`, `instructions`, `pcap`.
    pub what: &'static str,
    /// Byte offset within it.
    pub offset: usize,
    /// What is wrong there.
    pub why: Cow<'static, str>,
}

impl Malformed {
    /// `what` is wrong at `offset` because of `why`.
    pub fn new(what: &'static str, offset: usize, why: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed {
            what,
            offset,
            why: why.into(),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at offset {:#x}: {}",
            self.what, self.offset, self.why
        )
    }
}

impl core::error::Error for Malformed {}
