//! The kernel's own kfuncs: what it declares about each, and which programs may call it.
//!
//! Prototypes come from the kernel's BTF. Source: which programs may call which, and what may sleep, observed on Linux
//! 6.18.15 by loading a call of each of its 249 kfuncs at 234 places, and on 6.1.192, 6.12.117 and 7.3.4 for other
//! releases; the other flags and first releases from the eBPF Docs (docs.ebpf.io), which also is the source for
//! kfuncs of modules.
//!
//! Invariant: rows are sorted by name.

use crate::profile::Version;
use crate::program::AttachType as A;
use crate::program::ProgramType as P;

/// The result is a reference that must be given back.
pub const ACQUIRE: u16 = 1 << 0;
/// Takes a reference back.
pub const RELEASE: u16 = 1 << 1;
/// The result may be null.
pub const RET_NULL: u16 = 1 << 2;
/// Pointers to kernel objects must be trusted.
pub const TRUSTED_ARGS: u16 = 1 << 3;
/// Pointers to kernel objects must be trusted or protected by RCU.
pub const RCU: u16 = 1 << 4;
/// May sleep.
pub const SLEEPABLE: u16 = 1 << 5;
/// Asks for CAP_SYS_BOOT.
pub const DESTRUCTIVE: u16 = 1 << 6;
/// Only within an RCU read section.
pub const RCU_PROTECTED: u16 = 1 << 7;
/// Makes an iterator.
pub const ITER_NEW: u16 = 1 << 8;
/// Steps an iterator.
pub const ITER_NEXT: u16 = 1 << 9;
/// Ends an iterator.
pub const ITER_DESTROY: u16 = 1 << 10;

/// The flags with their names.
pub const FLAG_NAMES: &[(u16, &str)] = &[
    (ACQUIRE, "acquire"),
    (RELEASE, "release"),
    (RET_NULL, "may be null"),
    (TRUSTED_ARGS, "trusted arguments"),
    (RCU, "trusted or RCU arguments"),
    (SLEEPABLE, "may sleep"),
    (DESTRUCTIVE, "destructive"),
    (RCU_PROTECTED, "in RCU sections"),
    (ITER_NEW, "iterator new"),
    (ITER_NEXT, "iterator next"),
    (ITER_DESTROY, "iterator destroy"),
];

/// A kfunc of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFunction {
    /// Its name.
    pub name: &'static str,
    /// The first release that has it.
    pub since: &'static str,
    /// [`ACQUIRE`] and so on.
    pub flags: u16,
    /// Which programs may call it.
    pub set: CallerSet,
}

/// The kinds of program that a kfunc was registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerSet {
    /// Every kind.
    Common,
    /// Those that hold objects: tracing, cgroup, tc, XDP, LSM, struct_ops, syscall.
    Generic,
    /// Tracing, LSM, struct_ops, syscall.
    Cpumask,
    /// Tracing, LSM.
    Trace,
    /// Tracing, LSM, syscall, tc: the kernel's self tests.
    Test,
    /// Those that see a packet as `sk_buff`, and tracing.
    Skb,
    /// XDP.
    Xdp,
    /// XDP and tc.
    XdpTc,
    /// Classifiers and actions.
    Tc,
    /// Classifiers.
    SchedCls,
    /// XDP, classifiers and actions.
    Crypto,
    /// Syscall.
    CryptoCtx,
    /// LSM.
    Lsm,
    /// Programs of control groups.
    Cgroup,
    /// Kprobe and uprobe sessions.
    Session,
    /// Iterators.
    Iter,
    /// Any struct_ops.
    StructOps,
    /// Any struct_ops, and syscall.
    StructOpsSyscall,
    /// Queueing disciplines.
    Qdisc,
    /// Their `enqueue`.
    QdiscEnqueue,
    /// Their `dequeue`.
    QdiscDequeue,
    /// Both.
    QdiscEnqueueDequeue,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// The kernel.
    pub version: Version,
    /// The kind of program.
    pub program: P,
    /// The place of attachment.
    pub attach: Option<A>,
    /// For struct_ops, the structure.
    pub ops: Option<&'a str>,
    /// For struct_ops, the member.
    pub member: Option<&'a str>,
}

use CallerSet::*;

impl CallerSet {
    /// Who they are, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Common => "all",
            Generic => "tracing, lsm, cgroup_*, sock_ops, sched_cls, xdp, struct_ops, syscall",
            Cpumask => "tracing, lsm, struct_ops, syscall",
            Trace => "tracing, lsm",
            Test => "tracing, lsm, sched_cls, syscall",
            Skb => "kinds with an sk_buff, cgroup_*, tracing, lsm, struct_ops",
            Xdp => "xdp",
            XdpTc => "xdp, sched_cls",
            Tc => "sched_cls, sched_act",
            SchedCls => "sched_cls",
            Crypto => "xdp, sched_cls, sched_act",
            CryptoCtx => "syscall",
            Lsm => "lsm",
            Cgroup => "cgroup_*, sock_ops",
            Session => "kprobe and uprobe sessions",
            Iter => "iterators",
            StructOps => "struct_ops",
            StructOpsSyscall => "struct_ops, syscall",
            Qdisc => "Qdisc_ops",
            QdiscEnqueue => "Qdisc_ops: enqueue",
            QdiscDequeue => "Qdisc_ops: dequeue",
            QdiscEnqueueDequeue => "Qdisc_ops: enqueue, dequeue",
        }
    }

    /// Whether that program is in the set.
    pub fn contains(self, caller: &Caller<'_>) -> bool {
        let program = caller.program;
        let tracing = match program {
            P::Tracing | P::Lsm => true,
            P::Tracepoint | P::PerfEvent => caller.version >= Version::new(6, 12),
            P::RawTracepoint => caller.version >= Version::new(7, 0),
            _ => false,
        };
        let cgroup = match program {
            P::CgroupSkb
            | P::CgroupSock
            | P::CgroupDevice
            | P::CgroupSockAddr
            | P::CgroupSockopt
            | P::CgroupSysctl => true,
            P::SockOps => caller.version >= Version::new(6, 15),
            _ => false,
        };
        let lwt = matches!(program, P::LwtIn | P::LwtOut | P::LwtXmit | P::LwtSeg6local);
        let ops = program == P::StructOps;
        let syscall = program == P::Syscall;
        match self {
            Common => true,
            Generic => {
                tracing || cgroup || ops || syscall || matches!(program, P::SchedCls | P::Xdp)
            }
            Cpumask => tracing || ops || syscall,
            Trace => tracing,
            Test => tracing || syscall || program == P::SchedCls,
            Skb => {
                tracing
                    || cgroup
                    || lwt
                    || ops
                    || matches!(
                        program,
                        P::SchedCls | P::SchedAct | P::SkSkb | P::SocketFilter | P::Netfilter
                    )
            }
            Xdp => program == P::Xdp,
            XdpTc => matches!(program, P::Xdp | P::SchedCls),
            Tc => matches!(program, P::SchedCls | P::SchedAct),
            SchedCls => program == P::SchedCls,
            Crypto => matches!(program, P::Xdp | P::SchedCls | P::SchedAct),
            CryptoCtx => syscall,
            Lsm => program == P::Lsm,
            Cgroup => cgroup,
            Session => matches!(
                (program, caller.attach),
                (
                    P::Kprobe,
                    Some(A::TraceKprobeSession | A::TraceUprobeSession)
                ) | (P::Tracing, Some(A::TraceFsession))
            ),
            Iter => program == P::Tracing && caller.attach == Some(A::TraceIter),
            StructOps => ops,
            StructOpsSyscall => ops || syscall,
            Qdisc => caller.of_qdisc(&["enqueue", "dequeue", "init", "reset", "destroy"]),
            QdiscEnqueue => caller.of_qdisc(&["enqueue"]),
            QdiscDequeue => caller.of_qdisc(&["dequeue"]),
            QdiscEnqueueDequeue => caller.of_qdisc(&["enqueue", "dequeue"]),
        }
    }
}

impl Caller<'_> {
    fn of_qdisc(&self, members: &[&str]) -> bool {
        self.program == P::StructOps
            && self.ops == Some("Qdisc_ops")
            && self.member.is_some_and(|member| members.contains(&member))
    }
}

/// The kernel's kfunc of that name, in whatever release.
pub fn by_name(name: &str) -> Option<&'static KernelFunction> {
    ALL.binary_search_by_key(&name, |kfunc| kfunc.name)
        .ok()
        .and_then(|at| ALL.get(at))
}

const fn f(name: &'static str, since: &'static str, flags: u16, set: CallerSet) -> KernelFunction {
    KernelFunction {
        name,
        since,
        flags,
        set,
    }
}

/// Name, first release, flags, who may call.
#[rustfmt::skip]
pub static ALL: &[KernelFunction] = &[
    f("__bpf_trap", "6.16", 0, Common),
    f("__scx_bpf_dsq_insert_vtime", "6.19", RCU, StructOps),
    f("bbr_cwnd_event", "5.13", 0, StructOps),
    f("bbr_init", "5.13", 0, StructOps),
    f("bbr_main", "5.13", 0, StructOps),
    f("bbr_min_tso_segs", "5.13", 0, StructOps),
    f("bbr_set_state", "5.13", 0, StructOps),
    f("bbr_sndbuf_expand", "5.13", 0, StructOps),
    f("bbr_ssthresh", "5.13", 0, StructOps),
    f("bbr_undo_cwnd", "5.13", 0, StructOps),
    f("bpf_arena_alloc_pages", "6.9", TRUSTED_ARGS | SLEEPABLE, Common),
    f("bpf_arena_free_pages", "6.9", TRUSTED_ARGS | SLEEPABLE, Common),
    f("bpf_arena_reserve_pages", "6.17", TRUSTED_ARGS | SLEEPABLE, Common),
    f("bpf_cast_to_kern_ctx", "6.2", 0, Common),
    f("bpf_cgroup_acquire", "6.2", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_cgroup_ancestor", "6.2", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_cgroup_from_id", "6.4", ACQUIRE | RET_NULL, Generic),
    f("bpf_cgroup_read_xattr", "6.17", RCU, Common),
    f("bpf_cgroup_release", "6.2", RELEASE, Generic),
    f("bpf_copy_from_user_dynptr", "6.16", SLEEPABLE, Common),
    f("bpf_copy_from_user_str", "6.12", SLEEPABLE, Common),
    f("bpf_copy_from_user_str_dynptr", "6.16", SLEEPABLE, Common),
    f("bpf_copy_from_user_task_dynptr", "6.16", TRUSTED_ARGS | SLEEPABLE, Common),
    f("bpf_copy_from_user_task_str", "6.15", SLEEPABLE, Common),
    f("bpf_copy_from_user_task_str_dynptr", "6.16", TRUSTED_ARGS | SLEEPABLE, Common),
    f("bpf_cpumask_acquire", "6.3", ACQUIRE | TRUSTED_ARGS, Cpumask),
    f("bpf_cpumask_and", "6.3", RCU, Cpumask),
    f("bpf_cpumask_any_and_distribute", "6.5", RCU, Cpumask),
    f("bpf_cpumask_any_distribute", "6.5", RCU, Cpumask),
    f("bpf_cpumask_clear", "6.3", RCU, Cpumask),
    f("bpf_cpumask_clear_cpu", "6.3", RCU, Cpumask),
    f("bpf_cpumask_copy", "6.3", RCU, Cpumask),
    f("bpf_cpumask_create", "6.3", ACQUIRE | RET_NULL, Cpumask),
    f("bpf_cpumask_empty", "6.3", RCU, Cpumask),
    f("bpf_cpumask_equal", "6.3", RCU, Cpumask),
    f("bpf_cpumask_first", "6.3", RCU, Cpumask),
    f("bpf_cpumask_first_and", "6.5", RCU, Cpumask),
    f("bpf_cpumask_first_zero", "6.3", RCU, Cpumask),
    f("bpf_cpumask_full", "6.3", RCU, Cpumask),
    f("bpf_cpumask_intersects", "6.3", RCU, Cpumask),
    f("bpf_cpumask_or", "6.3", RCU, Cpumask),
    f("bpf_cpumask_populate", "6.15", RCU, Cpumask),
    f("bpf_cpumask_release", "6.3", RELEASE, Cpumask),
    f("bpf_cpumask_set_cpu", "6.3", RCU, Cpumask),
    f("bpf_cpumask_setall", "6.3", RCU, Cpumask),
    f("bpf_cpumask_subset", "6.3", RCU, Cpumask),
    f("bpf_cpumask_test_and_clear_cpu", "6.3", RCU, Cpumask),
    f("bpf_cpumask_test_and_set_cpu", "6.3", RCU, Cpumask),
    f("bpf_cpumask_test_cpu", "6.3", RCU, Cpumask),
    f("bpf_cpumask_weight", "6.8", RCU, Cpumask),
    f("bpf_cpumask_xor", "6.3", RCU, Cpumask),
    f("bpf_crypto_ctx_acquire", "6.10", ACQUIRE | RET_NULL | RCU, CryptoCtx),
    f("bpf_crypto_ctx_create", "6.10", ACQUIRE | RET_NULL | SLEEPABLE, CryptoCtx),
    f("bpf_crypto_ctx_release", "6.10", RELEASE, CryptoCtx),
    f("bpf_crypto_decrypt", "6.10", RCU, Crypto),
    f("bpf_crypto_encrypt", "6.10", RCU, Crypto),
    f("bpf_ct_change_status", "6.0", TRUSTED_ARGS, XdpTc),
    f("bpf_ct_change_timeout", "6.0", TRUSTED_ARGS, XdpTc),
    f("bpf_ct_insert_entry", "6.0", ACQUIRE | RELEASE | RET_NULL, XdpTc),
    f("bpf_ct_release", "5.18", RELEASE, XdpTc),
    f("bpf_ct_set_nat_info", "6.1", TRUSTED_ARGS, XdpTc),
    f("bpf_ct_set_status", "6.0", TRUSTED_ARGS, XdpTc),
    f("bpf_ct_set_timeout", "6.0", TRUSTED_ARGS, XdpTc),
    f("bpf_dynptr_adjust", "6.5", 0, Common),
    f("bpf_dynptr_clone", "6.5", 0, Common),
    f("bpf_dynptr_copy", "6.15", 0, Common),
    f("bpf_dynptr_file_discard", "6.19", 0, Common),
    f("bpf_dynptr_from_file", "6.19", TRUSTED_ARGS, Common),
    f("bpf_dynptr_from_skb", "6.4", TRUSTED_ARGS, Skb),
    f("bpf_dynptr_from_skb_meta", "6.18", TRUSTED_ARGS, Tc),
    f("bpf_dynptr_from_xdp", "6.4", 0, Xdp),
    f("bpf_dynptr_is_null", "6.5", 0, Common),
    f("bpf_dynptr_is_rdonly", "5.19", 0, Common),
    f("bpf_dynptr_memset", "6.17", 0, Common),
    f("bpf_dynptr_size", "6.5", 0, Common),
    f("bpf_dynptr_slice", "6.4", RET_NULL, Common),
    f("bpf_dynptr_slice_rdwr", "6.4", RET_NULL, Common),
    f("bpf_get_dentry_xattr", "6.12", TRUSTED_ARGS | SLEEPABLE, Lsm),
    f("bpf_get_file_xattr", "6.8", TRUSTED_ARGS | SLEEPABLE, Lsm),
    f("bpf_get_fsverity_digest", "6.8", TRUSTED_ARGS, Lsm),
    f("bpf_get_kmem_cache", "6.13", 0, Common),
    f("bpf_get_task_exe_file", "6.12", ACQUIRE | RET_NULL | TRUSTED_ARGS, Lsm),
    f("bpf_iter_bits_destroy", "6.11", ITER_DESTROY, Common),
    f("bpf_iter_bits_new", "6.11", ITER_NEW, Common),
    f("bpf_iter_bits_next", "6.11", RET_NULL | ITER_NEXT, Common),
    f("bpf_iter_css_destroy", "6.7", ITER_DESTROY, Common),
    f("bpf_iter_css_new", "6.7", TRUSTED_ARGS | RCU_PROTECTED | ITER_NEW, Common),
    f("bpf_iter_css_next", "6.7", RET_NULL | RCU_PROTECTED | ITER_NEXT, Common),
    f("bpf_iter_css_task_destroy", "6.7", ITER_DESTROY, Common),
    f("bpf_iter_css_task_new", "6.7", TRUSTED_ARGS | ITER_NEW, Common),
    f("bpf_iter_css_task_next", "6.7", RET_NULL | ITER_NEXT, Common),
    f("bpf_iter_dmabuf_destroy", "6.16", SLEEPABLE | ITER_DESTROY, Common),
    f("bpf_iter_dmabuf_new", "6.16", SLEEPABLE | ITER_NEW, Common),
    f("bpf_iter_dmabuf_next", "6.16", RET_NULL | SLEEPABLE | ITER_NEXT, Common),
    f("bpf_iter_kmem_cache_destroy", "6.13", SLEEPABLE | ITER_DESTROY, Common),
    f("bpf_iter_kmem_cache_new", "6.13", SLEEPABLE | ITER_NEW, Common),
    f("bpf_iter_kmem_cache_next", "6.13", RET_NULL | SLEEPABLE | ITER_NEXT, Common),
    f("bpf_iter_num_destroy", "6.4", ITER_DESTROY, Common),
    f("bpf_iter_num_new", "6.4", ITER_NEW, Common),
    f("bpf_iter_num_next", "6.4", RET_NULL | ITER_NEXT, Common),
    f("bpf_iter_scx_dsq_destroy", "6.12", ITER_DESTROY, Cpumask),
    f("bpf_iter_scx_dsq_new", "6.12", RCU_PROTECTED | ITER_NEW, Cpumask),
    f("bpf_iter_scx_dsq_next", "6.12", RET_NULL | ITER_NEXT, Cpumask),
    f("bpf_iter_task_destroy", "6.7", ITER_DESTROY, Common),
    f("bpf_iter_task_new", "6.7", TRUSTED_ARGS | RCU_PROTECTED | ITER_NEW, Common),
    f("bpf_iter_task_next", "6.7", RET_NULL | ITER_NEXT, Common),
    f("bpf_iter_task_vma_destroy", "6.7", ITER_DESTROY, Common),
    f("bpf_iter_task_vma_new", "6.7", RCU | ITER_NEW, Common),
    f("bpf_iter_task_vma_next", "6.7", RET_NULL | ITER_NEXT, Common),
    f("bpf_key_put", "6.1", RELEASE, Generic),
    f("bpf_kfree_skb", "6.16", RELEASE, Qdisc),
    f("bpf_kfunc_call_memb_release", "5.19", RELEASE, Test),
    f("bpf_kfunc_call_test_release", "5.18", RELEASE, Test),
    f("bpf_list_back", "6.16", RET_NULL, Generic),
    f("bpf_list_front", "6.16", RET_NULL, Generic),
    f("bpf_list_pop_back", "6.2", ACQUIRE | RET_NULL, Generic),
    f("bpf_list_pop_front", "6.2", ACQUIRE | RET_NULL, Generic),
    f("bpf_list_push_back", "7.0", 0, Generic),
    f("bpf_list_push_back_impl", "6.4", 0, Generic),
    f("bpf_list_push_front", "7.0", 0, Generic),
    f("bpf_list_push_front_impl", "6.4", 0, Generic),
    f("bpf_local_irq_restore", "6.14", 0, Common),
    f("bpf_local_irq_save", "6.14", 0, Common),
    f("bpf_lookup_system_key", "6.1", ACQUIRE | RET_NULL, Generic),
    f("bpf_lookup_user_key", "6.1", ACQUIRE | RET_NULL | SLEEPABLE, Generic),
    f("bpf_map_sum_elem_count", "6.6", TRUSTED_ARGS, Common),
    f("bpf_modify_return_test_tp", "6.12", 0, Common),
    f("bpf_obj_drop", "7.0", RELEASE, Generic),
    f("bpf_obj_drop_impl", "6.2", RELEASE, Generic),
    f("bpf_obj_new", "7.0", ACQUIRE | RET_NULL, Generic),
    f("bpf_obj_new_impl", "6.2", ACQUIRE | RET_NULL, Generic),
    f("bpf_path_d_path", "6.12", TRUSTED_ARGS, Lsm),
    f("bpf_percpu_obj_drop", "7.0", RELEASE, Generic),
    f("bpf_percpu_obj_drop_impl", "6.7", RELEASE, Generic),
    f("bpf_percpu_obj_new", "7.0", ACQUIRE | RET_NULL, Generic),
    f("bpf_percpu_obj_new_impl", "6.7", ACQUIRE | RET_NULL, Generic),
    f("bpf_preempt_disable", "6.10", 0, Common),
    f("bpf_preempt_enable", "6.10", 0, Common),
    f("bpf_probe_read_kernel_dynptr", "6.16", 0, Common),
    f("bpf_probe_read_kernel_str_dynptr", "6.16", 0, Common),
    f("bpf_probe_read_user_dynptr", "6.16", 0, Common),
    f("bpf_probe_read_user_str_dynptr", "6.16", 0, Common),
    f("bpf_put_file", "6.12", RELEASE, Lsm),
    f("bpf_qdisc_bstats_update", "6.16", TRUSTED_ARGS, QdiscDequeue),
    f("bpf_qdisc_skb_drop", "6.16", RELEASE, QdiscEnqueue),
    f("bpf_qdisc_watchdog_schedule", "6.16", TRUSTED_ARGS, QdiscEnqueueDequeue),
    f("bpf_rbtree_add", "7.0", 0, Generic),
    f("bpf_rbtree_add_impl", "6.4", 0, Generic),
    f("bpf_rbtree_first", "6.3", RET_NULL, Generic),
    f("bpf_rbtree_left", "6.16", RET_NULL, Generic),
    f("bpf_rbtree_remove", "6.3", ACQUIRE | RET_NULL, Generic),
    f("bpf_rbtree_right", "6.16", RET_NULL, Generic),
    f("bpf_rbtree_root", "6.16", RET_NULL, Generic),
    f("bpf_rcu_read_lock", "6.2", 0, Common),
    f("bpf_rcu_read_unlock", "6.2", 0, Common),
    f("bpf_rdonly_cast", "6.2", 0, Common),
    f("bpf_refcount_acquire", "7.0", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_refcount_acquire_impl", "6.4", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_remove_dentry_xattr", "6.15", TRUSTED_ARGS | SLEEPABLE, Lsm),
    f("bpf_res_spin_lock", "6.15", RET_NULL, Common),
    f("bpf_res_spin_lock_irqsave", "6.15", RET_NULL, Common),
    f("bpf_res_spin_unlock", "6.15", 0, Common),
    f("bpf_res_spin_unlock_irqrestore", "6.15", 0, Common),
    f("bpf_send_signal_task", "6.13", TRUSTED_ARGS, Generic),
    f("bpf_session_cookie", "6.10", 0, Session),
    f("bpf_session_is_return", "6.10", 0, Session),
    f("bpf_set_dentry_xattr", "6.15", TRUSTED_ARGS | SLEEPABLE, Lsm),
    f("bpf_sk_assign_tcp_reqsk", "6.11", TRUSTED_ARGS, SchedCls),
    f("bpf_skb_ct_alloc", "6.0", ACQUIRE | RET_NULL, XdpTc),
    f("bpf_skb_ct_lookup", "5.18", ACQUIRE | RET_NULL, XdpTc),
    f("bpf_skb_get_fou_encap", "6.4", 0, Tc),
    f("bpf_skb_get_hash", "6.16", TRUSTED_ARGS, Qdisc),
    f("bpf_skb_get_xfrm_info", "6.2", 0, Tc),
    f("bpf_skb_set_fou_encap", "6.4", 0, Tc),
    f("bpf_skb_set_xfrm_info", "6.2", 0, Tc),
    f("bpf_sock_addr_set_sun_path", "6.7", 0, Cgroup),
    f("bpf_sock_destroy", "6.5", TRUSTED_ARGS, Iter),
    f("bpf_sock_ops_enable_tx_tstamp", "6.15", TRUSTED_ARGS, Cgroup),
    f("bpf_strcasecmp", "6.18", 0, Common),
    f("bpf_strcasestr", "6.19", 0, Common),
    f("bpf_strchr", "6.17", 0, Common),
    f("bpf_strchrnul", "6.17", 0, Common),
    f("bpf_strcmp", "6.17", 0, Common),
    f("bpf_strcspn", "6.17", 0, Common),
    f("bpf_stream_print_stack", "7.0", TRUSTED_ARGS, Common),
    f("bpf_stream_vprintk", "7.0", TRUSTED_ARGS, Common),
    f("bpf_stream_vprintk_impl", "6.17", TRUSTED_ARGS, Common),
    f("bpf_strlen", "6.17", 0, Common),
    f("bpf_strncasecmp", "7.0", 0, Common),
    f("bpf_strncasestr", "6.19", 0, Common),
    f("bpf_strnchr", "6.17", 0, Common),
    f("bpf_strnlen", "6.17", 0, Common),
    f("bpf_strnstr", "6.17", 0, Common),
    f("bpf_strrchr", "6.17", 0, Common),
    f("bpf_strspn", "6.17", 0, Common),
    f("bpf_strstr", "6.17", 0, Common),
    f("bpf_task_acquire", "6.2", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_task_from_pid", "6.2", ACQUIRE | RET_NULL, Generic),
    f("bpf_task_from_vpid", "6.13", ACQUIRE | RET_NULL, Generic),
    f("bpf_task_get_cgroup1", "6.8", ACQUIRE | RET_NULL | RCU, Generic),
    f("bpf_task_release", "6.2", RELEASE, Generic),
    f("bpf_task_under_cgroup", "6.5", RCU, Generic),
    f("bpf_task_work_schedule_resume", "7.0", TRUSTED_ARGS, Common),
    f("bpf_task_work_schedule_resume_impl", "6.18", TRUSTED_ARGS, Common),
    f("bpf_task_work_schedule_signal", "7.0", TRUSTED_ARGS, Common),
    f("bpf_task_work_schedule_signal_impl", "6.18", TRUSTED_ARGS, Common),
    f("bpf_throw", "6.7", 0, Generic),
    f("bpf_timer_cancel_async", "7.0", 0, Common),
    f("bpf_verify_pkcs7_signature", "6.1", SLEEPABLE, Generic),
    f("bpf_wq_init", "6.10", 0, Common),
    f("bpf_wq_set_callback", "7.0", 0, Common),
    f("bpf_wq_set_callback_impl", "6.10", 0, Common),
    f("bpf_wq_start", "6.10", 0, Common),
    f("bpf_xdp_ct_alloc", "6.0", ACQUIRE | RET_NULL, XdpTc),
    f("bpf_xdp_ct_lookup", "5.18", ACQUIRE | RET_NULL, XdpTc),
    f("bpf_xdp_flow_lookup", "6.11", RET_NULL | TRUSTED_ARGS, Xdp),
    f("bpf_xdp_get_xfrm_state", "6.8", ACQUIRE | RET_NULL, Xdp),
    f("bpf_xdp_metadata_rx_hash", "6.3", TRUSTED_ARGS, Common),
    f("bpf_xdp_metadata_rx_timestamp", "6.3", TRUSTED_ARGS, Common),
    f("bpf_xdp_metadata_rx_vlan_tag", "6.8", TRUSTED_ARGS, Common),
    f("bpf_xdp_pull_data", "6.18", 0, Xdp),
    f("bpf_xdp_xfrm_state_release", "6.8", RELEASE, Xdp),
    f("cgroup_rstat_updated", "6.1", 0, Trace),
    f("crash_kexec", "6.1", DESTRUCTIVE, Generic),
    f("css_rstat_flush", "6.16", SLEEPABLE, Trace),
    f("css_rstat_updated", "6.16", 0, Trace),
    f("cubictcp_acked", "5.13", 0, StructOps),
    f("cubictcp_cong_avoid", "5.13", 0, StructOps),
    f("cubictcp_cwnd_event", "5.13", 0, StructOps),
    f("cubictcp_init", "5.13", 0, StructOps),
    f("cubictcp_recalc_ssthresh", "5.13", 0, StructOps),
    f("cubictcp_state", "5.13", 0, StructOps),
    f("dctcp_cwnd_event", "5.13", 0, StructOps),
    f("dctcp_cwnd_undo", "5.13", 0, StructOps),
    f("dctcp_init", "5.13", 0, StructOps),
    f("dctcp_ssthresh", "5.13", 0, StructOps),
    f("dctcp_state", "5.13", 0, StructOps),
    f("dctcp_update_alpha", "5.13", 0, StructOps),
    f("hid_bpf_allocate_context", "6.3", ACQUIRE | RET_NULL | SLEEPABLE, StructOpsSyscall),
    f("hid_bpf_get_data", "6.3", RET_NULL, StructOps),
    f("hid_bpf_hw_output_report", "6.10", SLEEPABLE, StructOpsSyscall),
    f("hid_bpf_hw_request", "6.3", SLEEPABLE, StructOpsSyscall),
    f("hid_bpf_input_report", "6.10", SLEEPABLE, StructOpsSyscall),
    f("hid_bpf_release_context", "6.3", RELEASE | SLEEPABLE, StructOpsSyscall),
    f("hid_bpf_try_input_report", "6.11", 0, StructOps),
    f("scx_bpf_cpu_curr", "6.18", RET_NULL | RCU_PROTECTED, Cpumask),
    f("scx_bpf_cpu_node", "6.15", 0, Cpumask),
    f("scx_bpf_cpu_rq", "6.12", 0, Cpumask),
    f("scx_bpf_cpuperf_cap", "6.12", 0, Cpumask),
    f("scx_bpf_cpuperf_cur", "6.12", 0, Cpumask),
    f("scx_bpf_cpuperf_set", "6.12", 0, Cpumask),
    f("scx_bpf_create_dsq", "6.12", SLEEPABLE, StructOpsSyscall),
    f("scx_bpf_destroy_dsq", "6.12", 0, Cpumask),
    f("scx_bpf_dispatch_cancel", "6.12", 0, StructOps),
    f("scx_bpf_dispatch_nr_slots", "6.12", 0, StructOps),
    f("scx_bpf_dsq_insert", "6.13", RCU, StructOps),
    f("scx_bpf_dsq_insert___v2", "6.19", RCU, StructOps),
    f("scx_bpf_dsq_insert_vtime", "6.13", RCU, StructOps),
    f("scx_bpf_dsq_move", "6.13", RCU, StructOpsSyscall),
    f("scx_bpf_dsq_move_set_slice", "6.13", RCU, StructOpsSyscall),
    f("scx_bpf_dsq_move_set_vtime", "6.13", RCU, StructOpsSyscall),
    f("scx_bpf_dsq_move_to_local", "6.13", 0, StructOps),
    f("scx_bpf_dsq_move_vtime", "6.13", RCU, StructOpsSyscall),
    f("scx_bpf_dsq_nr_queued", "6.12", 0, Cpumask),
    f("scx_bpf_dump_bstr", "6.12", TRUSTED_ARGS, Cpumask),
    f("scx_bpf_error_bstr", "6.12", TRUSTED_ARGS, Cpumask),
    f("scx_bpf_events", "6.15", TRUSTED_ARGS, Cpumask),
    f("scx_bpf_exit_bstr", "6.12", TRUSTED_ARGS, Cpumask),
    f("scx_bpf_get_idle_cpumask", "6.12", ACQUIRE, Cpumask),
    f("scx_bpf_get_idle_cpumask_node", "6.15", ACQUIRE, Cpumask),
    f("scx_bpf_get_idle_smtmask", "6.12", ACQUIRE, Cpumask),
    f("scx_bpf_get_idle_smtmask_node", "6.15", ACQUIRE, Cpumask),
    f("scx_bpf_get_online_cpumask", "6.12", ACQUIRE, Cpumask),
    f("scx_bpf_get_possible_cpumask", "6.12", ACQUIRE, Cpumask),
    f("scx_bpf_kick_cpu", "6.12", 0, Cpumask),
    f("scx_bpf_locked_rq", "6.18", RET_NULL, Cpumask),
    f("scx_bpf_now", "6.14", 0, Cpumask),
    f("scx_bpf_nr_cpu_ids", "6.12", 0, Cpumask),
    f("scx_bpf_nr_node_ids", "6.15", 0, Cpumask),
    f("scx_bpf_pick_any_cpu", "6.12", RCU, Cpumask),
    f("scx_bpf_pick_any_cpu_node", "6.15", RCU, Cpumask),
    f("scx_bpf_pick_idle_cpu", "6.12", RCU, Cpumask),
    f("scx_bpf_pick_idle_cpu_node", "6.15", RCU, Cpumask),
    f("scx_bpf_put_cpumask", "6.12", RELEASE, Cpumask),
    f("scx_bpf_put_idle_cpumask", "6.12", RELEASE, Cpumask),
    f("scx_bpf_reenqueue_local", "6.12", 0, StructOps),
    f("scx_bpf_select_cpu_and", "6.16", RCU, Cpumask),
    f("scx_bpf_select_cpu_dfl", "6.12", RCU, Cpumask),
    f("scx_bpf_task_cgroup", "6.12", ACQUIRE | RCU, Cpumask),
    f("scx_bpf_task_cpu", "6.12", RCU, Cpumask),
    f("scx_bpf_task_running", "6.12", RCU, Cpumask),
    f("scx_bpf_test_and_clear_cpu_idle", "6.12", 0, Cpumask),
    f("tcp_cong_avoid_ai", "5.13", 0, StructOps),
    f("tcp_reno_cong_avoid", "5.13", 0, StructOps),
    f("tcp_reno_ssthresh", "5.13", 0, StructOps),
    f("tcp_reno_undo_cwnd", "5.13", 0, StructOps),
    f("tcp_slow_start", "5.13", 0, StructOps),
];

#[cfg(test)]
mod tests;
