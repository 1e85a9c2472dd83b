; test verify
; A member that this kernel's type does not have.
; verify: => refused="invalid func unknown#195896080" id=verifier-core-poison edit=verifies
; kernel: struct task_struct { int pid; };
; kernel: .extern kfunc void bpf_rcu_read_lock(void)
.license "GPL"
struct task_struct { int pid; int no_longer_there; };
.section "tp/sched/sched_switch"
.function int t(void *ctx)
    r3 = 4 @core(byte_off, struct task_struct, "0:1")
    r0 = r3
    exit
