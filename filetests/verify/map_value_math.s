; test verify
; An offset of which nothing is known is added.
; verify: => refused="unbounded min value" id=verifier-negative-size because="read from a map's value" edit=verifies
.license "GPL"
.map bytes {
    type array
    key u32
    value char[64]
    max_entries 1
}
.section "tc"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r0 += r1
    r0 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
