; test verify
; A reserved dynptr that is neither submitted nor discarded.
; verify: => refused="reference leak" id=verifier-reference-leak because="6: bpf_ringbuf_reserve_dynptr" edit=verifies
.license "GPL"
.map events {
    type ringbuf
    max_entries 4096
}
.section "tc"
.function t
    r1 = map events ll
    r2 = 8
    r3 = 0
    r4 = r10
    r4 += -16
    call bpf_ringbuf_reserve_dynptr
    r0 = 0
    exit
