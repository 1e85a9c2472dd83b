; test verify
; A tail call through a map that holds no programs.
; verify: => refused="expected prog array map for tail call" id=verifier-map-type edit=verifies
.license "GPL"
.map values {
    type array
    key u32
    value u32
    max_entries 4
}
.section "tc"
.function t
    r2 = map values ll
    r3 = 0
    call bpf_tail_call
    r0 = 0
    exit
