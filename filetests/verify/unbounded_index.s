; test verify
; page
; An index without a bound.
; verify: => refused="R0 unbounded memory access" id=verifier-unbounded because="1: read from the context" because="9: added to the pointer" edit=verifies
.license "GPL"
.map bytes {
    type array
    key u32
    value char[64]
    max_entries 1
}
.section "tc"
.function t
    r6 = r1
    r7 = *(u32 *)(r1 + 8)
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r0 += r7
    *(u8 *)(r0 + 0) = 1
out:
    r0 = 0
    exit
