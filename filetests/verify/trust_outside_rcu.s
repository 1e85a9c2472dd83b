; test verify
; page
; A task that was found through another one, in a program that may sleep: nothing keeps it alive.
; verify: => refused="must be a rcu pointer" id=verifier-trust because="read" edit=verifies
; kernel: struct task_struct { int pid; struct task_struct *group_leader; };
; kernel: struct task_struct__safe_rcu { struct task_struct *group_leader; };
; kernel: .extern kfunc void bpf_rcu_read_lock(void)
; kernel: .extern kfunc void bpf_rcu_read_unlock(void)
; kernel: .extern kfunc struct task_struct *bpf_task_acquire(struct task_struct *p)
; kernel: .extern kfunc void bpf_task_release(struct task_struct *p)
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
struct task_struct { int pid; struct task_struct *group_leader; };
.extern kfunc struct task_struct *bpf_task_acquire(struct task_struct *p)
.extern kfunc void bpf_task_release(struct task_struct *p)
.section "fentry.s/bpf_fentry_test1"
.function int t(u64 *ctx)
    call bpf_get_current_task_btf
    r1 = *(u64 *)(r0 + 8)
    call kfunc bpf_task_acquire
    if r0 == 0 goto out
    r1 = r0
    call kfunc bpf_task_release
out:
    r0 = 0
    exit
