//! What a supervisor has to say at its end about what it could not show or had to change.
//!
//! Invariants: each kind of thing is one sentence with a count, however often it happened.

/// Facts to be told.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub no_new_privs: bool,
    pub foreign_calls: u64,
    pub compat_programs: u64,
    pub untraced_clones: u64,
    pub refused_reads: u64,
    pub without_slot: u64,
    pub not_detached: u64,
    pub killed: u64,
    pub lost: u64,
    privileged: Vec<String>,
    more_privileged: u64,
}

/// Programs named in a note.
const NAMED: usize = 3;

impl Notes {
    pub fn lost_privileges(&mut self, program: String) {
        if self.privileged.contains(&program) {
            return;
        }
        if self.privileged.len() < NAMED {
            self.privileged.push(program);
        } else {
            self.more_privileged += 1;
        }
    }

    pub fn messages(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut say = |count: u64, text: &dyn Fn(u64) -> String| {
            if count > 0 {
                out.push(text(count));
            }
        };
        say(self.lost, &|n| {
            format!("{n} events were lost: their tasks were killed before they could be read")
        });
        say(self.compat_programs, &|n| {
            format!(
                "{n} 32-bit programs were executed: their system calls have other numbers, only raw_syscalls sees them"
            )
        });
        say(self.foreign_calls, &|n| {
            format!(
                "{n} system calls of another ABI (32-bit or x32) were made: syscalls:* tracepoints do not see them"
            )
        });
        say(self.untraced_clones, &|n| {
            format!("{n} clones asked for CLONE_UNTRACED; they were followed all the same")
        });
        say(self.refused_reads, &|n| {
            format!(
                "{n} reads of a task's memory were refused: it is not dumpable, run as root to read it"
            )
        });
        say(self.without_slot, &|n| {
            format!("{n} tasks were too many to model: their task_struct reads fail")
        });
        say(self.killed, &|n| {
            format!("{n} tasks did not end when asked to and were killed")
        });
        say(self.not_detached, &|n| {
            format!("{n} tasks did not stop in time and were left")
        });
        if !self.privileged.is_empty() {
            let more = if self.more_privileged > 0 {
                format!(" and {} more", self.more_privileged)
            } else {
                String::new()
            };
            out.push(format!(
                "set-user-id programs ran without their privileges (the filter of an ordinary user needs no_new_privs): {}{more}",
                self.privileged.join(", ")
            ));
        }
        out
    }
}
