; test verify
; Two numbers that differ by a constant, and two that have nothing to do with each other, are not the same state: what a
; comparison of the one says of the other holds in the first only. (Found by checked execution.)
; verify: => refused="math between map_value pointer and register with unbounded min value is not allowed"
.license "GPL"
.map bytes {
    type array
    key u32
    value char[64]
    max_entries 1
}
.section "socket"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = r0
    call bpf_get_prandom_u32
    r8 = r0
    r0 = 0
    r9 = *(u64 *)(r7 + 0)
    if r9 > 4096 goto apart
    r9 = r8
apart:
    r8 += 1
    r2 = 1
    r2 += 1
    r2 += 1
    r2 += 1
    if r2 == 0 goto out
    r2 += 1
    r2 += 1
    r2 += 1
    if r2 == 0 goto out
    r2 += 1
    r2 += 1
    if r2 == 0 goto out
    r2 = 0
    if r8 > 60 goto out
    if r8 < 1 goto out
    r1 = r7
    r1 += r9
    r0 = *(u8 *)(r1 + 0)
out:
    r0 = 0
    exit
