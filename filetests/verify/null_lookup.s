; test verify
; page
; The result of a lookup is used without a check.
; verify: => refused="R0 invalid mem access 'map_value_or_null'" id=verifier-null-pointer because="6: the result of bpf_map_lookup_elem" edit=verifies
.license "GPL"
.map counts {
    type hash
    key u32
    value u64
    max_entries 16
}
.section "xdp"
.function t
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    r1 = *(u64 *)(r0 + 0)
    r0 = 2
    exit
