//! What programs answer about a packet, hook by hook.
//!
//! Numbers: enum xdp_action, TC_ACT_* and BPF_LWT_* of the uapi headers.

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to what comes after the program.
    Stack,
    /// It ends here.
    Gone,
    /// It leaves through the interface that it came from.
    Transmit,
    /// It goes where a helper said.
    Redirect,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its name: the kernel's constant, or a word where the answer is a number.
    pub name: &'static str,
    /// What becomes of the packet.
    pub fate: Fate,
}

impl Verdict {
    /// Whether the packet leaves through no wire.
    pub fn stays(&self) -> bool {
        matches!(self.fate, Fate::Stack | Fate::Gone)
    }
}

const fn verdict(name: &'static str, fate: Fate) -> Verdict {
    Verdict { name, fate }
}

/// In the order of their values; what is above counts as the last.
pub const XDP: &[Verdict] = &[
    verdict("XDP_ABORTED", Fate::Gone),
    verdict("XDP_DROP", Fate::Gone),
    verdict("XDP_PASS", Fate::Stack),
    verdict("XDP_TX", Fate::Transmit),
    verdict("XDP_REDIRECT", Fate::Redirect),
    verdict("XDP_INVALID", Fate::Gone),
];

/// In the order of their values, from -1; what is outside counts as the last, which a kernel treats as -1.
pub const TC: &[Verdict] = &[
    verdict("TC_ACT_UNSPEC", Fate::Stack),
    verdict("TC_ACT_OK", Fate::Stack),
    verdict("TC_ACT_RECLASSIFY", Fate::Stack),
    verdict("TC_ACT_SHOT", Fate::Gone),
    verdict("TC_ACT_PIPE", Fate::Stack),
    verdict("TC_ACT_STOLEN", Fate::Gone),
    verdict("TC_ACT_QUEUED", Fate::Gone),
    verdict("TC_ACT_REPEAT", Fate::Stack),
    verdict("TC_ACT_REDIRECT", Fate::Redirect),
    verdict("TC_ACT_TRAP", Fate::Gone),
    verdict("TC_ACT_UNKNOWN", Fate::Stack),
];

/// Zero, or a number of bytes to keep.
pub const SOCKET: &[Verdict] = &[verdict("drop", Fate::Gone), verdict("keep", Fate::Stack)];

/// By the two bits of the answer.
pub const CGROUP_SKB: &[Verdict] = &[
    verdict("drop", Fate::Gone),
    verdict("pass", Fate::Stack),
    verdict("drop, congested", Fate::Gone),
    verdict("pass, congested", Fate::Stack),
];

/// Known answers, then all others, which drop.
pub const LWT: &[Verdict] = &[
    verdict("BPF_OK", Fate::Stack),
    verdict("BPF_DROP", Fate::Gone),
    verdict("BPF_REDIRECT", Fate::Redirect),
    verdict("BPF_LWT_REROUTE", Fate::Stack),
    verdict("BPF_INVALID", Fate::Gone),
];
