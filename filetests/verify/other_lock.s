; test verify
; The lock of another element is released.
; verify: => refused="bpf_spin_unlock of different lock" id=verifier-lock because="the lock is taken here" edit=verifies
.license "GPL"
struct bpf_spin_lock { u32 val; };
struct guarded { struct bpf_spin_lock lock; int count; };
.map values {
    type array
    key u32
    value struct guarded
    max_entries 2
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
    *(u32 *)(r10 - 4) = 1
    r2 = r10
    r2 += -4
    r1 = map values ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = r0
    r1 = r6
    call bpf_spin_lock
    r1 = r7
    call bpf_spin_unlock
out:
    r0 = 0
    exit
