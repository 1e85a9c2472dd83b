//! What BTF does not say about the arguments of raw tracepoints and iterators: which may be null, which are trusted.
//!
//! Source: observed on Linux 6.18.15, by loading one program for every tracepoint and iterator of its BTF and every
//! argument. Tracepoints of modules are not listed: theirs count as never null, as the kernel's own list was made.
//!
//! Invariant: rows are sorted by name.

use crate::profile::Version;

/// Arguments of that tracepoint (without `btf_trace_`) that may be null, as bits, argument 0 lowest. Before 6.14
/// they were taken for never null.
pub fn nullable_arguments(tracepoint: &str, version: Version) -> u32 {
    if version < Version::new(6, 14) {
        return 0;
    }
    NULLABLE
        .binary_search_by_key(&tracepoint, |row| row.0)
        .ok()
        .and_then(|at| NULLABLE.get(at))
        .map_or(0, |row| row.1)
}

/// What an argument of an iterator's program is. Pointers point to what BTF says, at offset 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterArgument {
    /// Trusted, or null.
    TrustedOrNull,
    /// To be walked, but not handed on as trusted; or null.
    PtrOrNull,
    /// Bytes that may be read, or null.
    RdonlyBufOrNull,
    /// Bytes that may be read and written, or null.
    BufOrNull,
}

/// Whether that iterator (without `bpf_iter_`) was looked at, so that an argument that is not listed is trusted and
/// never null.
pub fn is_known_iterator(iterator: &str) -> bool {
    ITERATORS.iter().any(|row| row.0 == iterator)
}

/// The argument of that iterator's program (without `bpf_iter_`), where it differs from what a trusted, never null
/// argument of its BTF type would be.
pub fn iterator_argument(iterator: &str, argument: u32) -> Option<IterArgument> {
    ITERATORS
        .binary_search_by_key(&(iterator, argument), |row| (row.0, row.1))
        .ok()
        .and_then(|at| ITERATORS.get(at))
        .map(|row| row.2)
}

#[rustfmt::skip]
static NULLABLE: &[(&str, u32)] = &[
    ("break_lease_block", 0b10),
    ("break_lease_noblock", 0b10),
    ("break_lease_unblock", 0b10),
    ("fcntl_setlk", 0b10),
    ("fib_table_lookup", 0b100),
    ("flock_lock_inode", 0b10),
    ("folio_wait_writeback", 0b10),
    ("generic_delete_lease", 0b10),
    ("hugetlbfs_alloc_inode", 0b10),
    ("kfree_skb", 0b1000),
    ("locks_remove_posix", 0b10),
    ("mm_collapse_huge_page_isolate", 0b1),
    ("mm_khugepaged_collapse_file", 0b10),
    ("mm_khugepaged_scan_file", 0b10),
    ("mm_khugepaged_scan_pmd", 0b10),
    ("mm_page_alloc", 0b1),
    ("mm_page_alloc_zone_locked", 0b1),
    ("mm_page_pcpu_drain", 0b1),
    ("posix_lock_inode", 0b10),
    ("qdisc_dequeue", 0b1000),
    ("sched_pi_setprio", 0b10),
    ("sched_stick_numa", 0b100),
    ("sched_swap_numa", 0b100),
    ("tcp_send_reset", 0b11),
    ("tcp_sendmsg_locked", 0b100),
    ("time_out_leases", 0b10),
    ("tmigr_update_events", 0b1),
    ("writeback_dirty_folio", 0b10),
];

use IterArgument::{BufOrNull, PtrOrNull, RdonlyBufOrNull, TrustedOrNull};

#[rustfmt::skip]
static ITERATORS: &[(&str, u32, IterArgument)] = &[
    ("bpf_link", 1, PtrOrNull),
    ("bpf_map", 1, TrustedOrNull),
    ("bpf_map_elem", 2, RdonlyBufOrNull),
    ("bpf_map_elem", 3, BufOrNull),
    ("bpf_prog", 1, PtrOrNull),
    ("bpf_sk_storage_map", 2, PtrOrNull),
    ("bpf_sk_storage_map", 3, BufOrNull),
    ("cgroup", 1, TrustedOrNull),
    ("dmabuf", 1, PtrOrNull),
    ("ipv6_route", 1, PtrOrNull),
    ("kmem_cache", 1, TrustedOrNull),
    ("ksym", 1, PtrOrNull),
    ("netlink", 1, PtrOrNull),
    ("sockmap", 2, RdonlyBufOrNull),
    ("sockmap", 3, PtrOrNull),
    ("task", 1, TrustedOrNull),
    ("task_file", 1, PtrOrNull),
    ("task_file", 3, PtrOrNull),
    ("task_vma", 1, PtrOrNull),
    ("task_vma", 2, PtrOrNull),
    ("tcp", 1, TrustedOrNull),
    ("udp", 1, TrustedOrNull),
    ("unix", 1, PtrOrNull),
];

#[cfg(test)]
mod tests;
