//! Kernel functions that programs call by name and that the engines know.
//!
//! A kfunc has no stable number: a call names it through BTF. This table says which names the embedded engine runs;
//! the kernel engine asks the kernel's own BTF instead.

pub mod kernel;

/// A kernel function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kfunc {
    /// Its name.
    pub name: &'static str,
    /// The first release of Linux that has it.
    pub since: &'static str,
    /// How many arguments it takes.
    pub args: u8,
}

/// Every known one, sorted by name. Source: kernel/bpf/helpers.c and kernel/bpf/cpumask.c of Linux 6.12.
pub const ALL: &[Kfunc] = &[
    Kfunc {
        name: "bpf_cast_to_kern_ctx",
        since: "6.2",
        args: 1,
    },
    Kfunc {
        name: "bpf_get_kmem_cache",
        since: "6.13",
        args: 1,
    },
    Kfunc {
        name: "bpf_iter_num_destroy",
        since: "6.4",
        args: 1,
    },
    Kfunc {
        name: "bpf_iter_num_new",
        since: "6.4",
        args: 3,
    },
    Kfunc {
        name: "bpf_iter_num_next",
        since: "6.4",
        args: 1,
    },
    Kfunc {
        name: "bpf_preempt_disable",
        since: "6.10",
        args: 0,
    },
    Kfunc {
        name: "bpf_preempt_enable",
        since: "6.10",
        args: 0,
    },
    Kfunc {
        name: "bpf_rcu_read_lock",
        since: "6.2",
        args: 0,
    },
    Kfunc {
        name: "bpf_rcu_read_unlock",
        since: "6.2",
        args: 0,
    },
    Kfunc {
        name: "bpf_rdonly_cast",
        since: "6.2",
        args: 2,
    },
    Kfunc {
        name: "bpf_task_acquire",
        since: "6.2",
        args: 1,
    },
    Kfunc {
        name: "bpf_task_from_pid",
        since: "6.2",
        args: 1,
    },
    Kfunc {
        name: "bpf_task_release",
        since: "6.2",
        args: 1,
    },
];

/// The one of that name.
pub fn by_name(name: &str) -> Option<&'static Kfunc> {
    ALL.binary_search_by_key(&name, |kfunc| kfunc.name)
        .ok()
        .map(|at| &ALL[at])
}
