; test verify
; A constant offset beyond the value.
; verify: => refused="invalid access to map value, value_size=8 off=8 size=8" id=verifier-out-of-bounds edit=verifies
.license "GPL"
.map counts {
    type array
    key u32
    value u64
    max_entries 1
}
.section "tc"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 8)
out:
    r0 = 0
    exit
