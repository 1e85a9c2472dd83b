; test verify
; page
; A key of 8 bytes of which 4 are written.
; verify: unprivileged => refused="read from stack" id=verifier-stack-uninitialised because="1: only these bytes" edit=verifies
.license "GPL"
.map counts {
    type hash
    key u64
    value u64
    max_entries 16
}
.section "socket"
.function t
    r1 = 7
    *(u32 *)(r10 - 8) = r1
    r2 = r10
    r2 += -8
    r1 = map counts ll
    call bpf_map_lookup_elem
    r0 = 0
    exit
