; test verify
; page
; A key is passed by value.
; verify: => refused="R2 type=scalar expected=fp" id=verifier-argument because="1: r2 is set here" edit=verifies
.license "GPL"
.map counts {
    type hash
    key u64
    value u64
    max_entries 16
}
.section "socket"
.function t
    r0 = 0
    r2 = 5
    r1 = map counts ll
    call bpf_map_lookup_elem
    r0 = 0
    exit
