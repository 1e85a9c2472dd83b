; test verify
; A queue's helper on an array.
; verify: => refused="cannot pass map_type 2 into func bpf_map_push_elem#87" id=verifier-map-type edit=verifies
.license "GPL"
.map values {
    type array
    key u32
    value u64
    max_entries 1
}
.section "tc"
.function t
    *(u64 *)(r10 - 8) = 0
    r1 = map values ll
    r2 = r10
    r2 += -8
    r3 = 0
    call bpf_map_push_elem
    r0 = 0
    exit
