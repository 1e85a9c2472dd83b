; test verify
; page
; A path that leaves without releasing the lock.
; verify: => refused="inside bpf_spin_lock-ed region" id=verifier-lock because="the lock is taken here" edit=verifies
.license "GPL"
struct bpf_spin_lock { u32 val; };
struct guarded { struct bpf_spin_lock lock; int count; };
.map values {
    type array
    key u32
    value struct guarded
    max_entries 1
}
.section "tc"
.function int t(struct __sk_buff *ctx)
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map values ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r1 = r6
    call bpf_spin_lock
    r1 = *(u32 *)(r6 + 4)
    if r1 == 7 goto out
    r1 = r6
    call bpf_spin_unlock
out:
    r0 = 0
    exit
