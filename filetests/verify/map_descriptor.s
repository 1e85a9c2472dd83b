; test verify
; A descriptor in the code that is no map's.
; verify: => refused="fd 0 is not pointing to valid bpf_map" id=verifier-map-reference edit=verifies
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
    r1 = map_fd 0 ll
    call bpf_map_lookup_elem
    r0 = 0
    exit
.section "socket"
.function user
    r1 = map counts ll
    r0 = 0
    exit
