//! What the program holds: references, locks, disabled interrupts and preemption, RCU sections.
//!
//! Invariant: references and locks stand in the order in which they were taken.

/// What kind of thing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldKind {
    /// A reference to be released.
    Reference,
    /// A `bpf_spin_lock`.
    Lock,
    /// A `bpf_res_spin_lock`.
    ResLock,
    /// A `bpf_res_spin_lock_irqsave`.
    ResLockIrq,
    /// A saved interrupt flag.
    Irq,
}

/// One thing held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    pub kind: HeldKind,
    pub id: u32,
    /// The instruction that acquired it.
    pub insn: usize,
    /// For a lock: what identifies the memory it lies in (a map, or a BTF object), as (class, number).
    pub lock_in: (u8, u64),
}

/// All that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub resources: Vec<Resource>,
    /// How many spin locks are held.
    pub locks: u32,
    /// The innermost lock's identity.
    pub active_lock: Option<(u32, (u8, u64))>,
    /// Depth of `bpf_preempt_disable`.
    pub preempt: u32,
    /// Depth of `bpf_rcu_read_lock`.
    pub rcu: u32,
    /// The innermost saved interrupt flag.
    pub active_irq: u32,
}

impl Held {
    /// The reference of that id.
    pub fn reference(&self, id: u32) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|held| held.kind == HeldKind::Reference && held.id == id)
    }
}
