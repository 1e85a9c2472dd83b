; test verify
; CVE-2026-43009: what an atomic operation fetches from the stack is the value that was stored there.
; (Linux 6.18.44 accepts it, and reads 4096 bytes beyond: the stored number is not marked as exact.)
; verify: freq => refused="R0"
; verify: => refused="R0"
.license "GPL"
.map bytes {
    type array
    key u32
    value char[48]
    max_entries 1
}
.section "tc"
.function t
    call bpf_get_prandom_u32
    r6 = r0
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = 4096
    if r6 == 0 goto spill
    r7 = 0
spill:
    *(u64 *)(r10 - 16) = r7
    r2 = 0
    if r6 == 7 goto on
    r8 = 0
on:
    r2 = atomic_fetch_add((u64 *)(r10 - 16), r2)
    r0 += r2
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
