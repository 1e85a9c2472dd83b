; test verify
; The reference to a map was never resolved.
; verify: => refused="R1 type=scalar expected=map_ptr" id=verifier-argument edit=verifies
.license "GPL"
.map counts {
    type hash
    key u32
    value u64
    max_entries 16
}
.section "socket"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = 0
    call bpf_map_lookup_elem
    r0 = 0
    exit
.section "socket"
.function user
    r1 = map counts ll
    r0 = 0
    exit
