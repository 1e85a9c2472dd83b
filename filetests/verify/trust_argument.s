; test verify
; A function that takes trusted pointers only, and a task that is merely protected.
; verify: => refused="R1 must be referenced or trusted" id=verifier-trust because="1: read through another pointer" edit=verifies
; kernel: struct file { int f_flags; };
; kernel: struct task_struct { int pid; struct task_struct *group_leader; };
; kernel: struct task_struct__safe_rcu { struct task_struct *group_leader; };
; kernel: .extern kfunc struct file *bpf_get_task_exe_file(struct task_struct *task)
; kernel: .extern kfunc void bpf_put_file(struct file *file)
; kernel: .extern kfunc struct task_struct *bpf_task_acquire(struct task_struct *p)
; kernel: .extern kfunc void bpf_task_release(struct task_struct *p)
; kernel: .extern kfunc int bpf_lsm_file_open(struct file *file)
.license "GPL"
struct file { int f_flags; };
struct task_struct { int pid; struct task_struct *group_leader; };
.extern kfunc struct file *bpf_get_task_exe_file(struct task_struct *task)
.extern kfunc void bpf_put_file(struct file *file)
.section "lsm/file_open"
.function int t(u64 *ctx)
    call bpf_get_current_task_btf
    r1 = *(u64 *)(r0 + 8)
    call kfunc bpf_get_task_exe_file
    if r0 == 0 goto out
    r1 = r0
    call kfunc bpf_put_file
out:
    r0 = 0
    exit
