//! One reason to refuse a program: the kernel's errno and wording, where, and a stable code.
//!
//! Invariant: `lines` is what the kernel's log would say, a line each, without a line feed; it is never empty for a
//! fault that the kernel explains.

/// The result of one rule.
pub type Rule<T = ()> = Result<T, Box<Fault>>;

/// Why a program is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What bpf(2) would fail with: a positive errno.
    pub errno: i32,
    /// The instruction slot, where it concerns one.
    pub insn: Option<usize>,
    /// A stable id that names a page of the documentation: `verifier-unreachable-insn`.
    pub code: &'static str,
    /// The kernel's wording, by line.
    pub lines: Vec<String>,
}

impl Fault {
    /// A fault of one line; an empty one is none, for what the kernel refuses without a word.
    #[cold]
    pub fn new(errno: i32, code: &'static str, line: impl Into<String>) -> Box<Fault> {
        let line = line.into();
        let silent = line.is_empty();
        Box::new(Fault {
            errno,
            insn: None,
            code,
            lines: if silent { Vec::new() } else { vec![line] },
        })
    }

    /// The same at that instruction, unless it has a place already.
    #[must_use]
    pub fn at(mut self: Box<Self>, insn: usize) -> Box<Fault> {
        self.insn.get_or_insert(insn);
        self
    }

    /// With one more line.
    #[must_use]
    pub fn and(mut self: Box<Self>, line: impl Into<String>) -> Box<Fault> {
        self.lines.push(line.into());
        self
    }
}
