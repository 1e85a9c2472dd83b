; test verify
; The result of a kernel function is passed on unchecked.
; verify: => refused="Possibly NULL pointer passed to trusted arg0" id=verifier-null-pointer because="2: the result of bpf_task_acquire" edit=verifies
; verify: kernel=6.18 => refused="Possibly NULL pointer passed to trusted arg0"
; kernel: struct task_struct { int pid; struct task_struct *group_leader; };
; kernel: .extern kfunc struct task_struct *bpf_task_acquire(struct task_struct *p)
; kernel: .extern kfunc void bpf_task_release(struct task_struct *p)
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
struct task_struct { int pid; struct task_struct *group_leader; };
.extern kfunc struct task_struct *bpf_task_acquire(struct task_struct *p)
.extern kfunc void bpf_task_release(struct task_struct *p)
.section "fentry/bpf_fentry_test1"
.function int t(u64 *ctx)
    call bpf_get_current_task_btf
    r1 = r0
    call kfunc bpf_task_acquire
    r1 = r0
    call kfunc bpf_task_release
    r0 = 0
    exit
