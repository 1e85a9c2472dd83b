; test verify
; A helper that may sleep, within an RCU section.
; verify: => refused="sleepable helper bpf_copy_from_user#148 in rcu_read_lock region" id=verifier-sleepable because="0: the RCU section begins" edit=verifies
; kernel: .extern kfunc void bpf_rcu_read_lock(void)
; kernel: .extern kfunc void bpf_rcu_read_unlock(void)
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
.extern kfunc void bpf_rcu_read_lock(void)
.extern kfunc void bpf_rcu_read_unlock(void)
.section "fentry.s/bpf_fentry_test1"
.function int t(u64 *ctx)
    call kfunc bpf_rcu_read_lock
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = 0
    call bpf_copy_from_user
    call kfunc bpf_rcu_read_unlock
    r0 = 0
    exit
