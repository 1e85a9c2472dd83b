//! A program's tie to its events.
//!
//! Invariant: dropping a link detaches; nothing else does, short of its engine ending.

/// Holds a program attached. Dropping it detaches the program.
#[must_use = "dropping a link detaches the program at once"]
pub trait Link: Send + Sync {
    /// What the program is attached to, in words: `tracepoint syscalls/sys_enter_openat`.
    fn target(&self) -> &str;

    /// The name of the program.
    fn program(&self) -> &str;

    /// Detaches; the same as dropping, and says so.
    fn detach(self: Box<Self>);
}
