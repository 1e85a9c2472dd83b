; test verify
; page
; A reservation is submitted twice.
; verify: => refused="arg 1 is an unacquired reference" id=verifier-dynptr because="10: given back here" edit=verifies
.license "GPL"
.map events {
    type ringbuf
    max_entries 4096
}
.section "tc"
.function int t(struct __sk_buff *ctx)
    r1 = map events ll
    r2 = 8
    r3 = 0
    r4 = r10
    r4 += -16
    call bpf_ringbuf_reserve_dynptr
    r1 = r10
    r1 += -16
    r2 = 0
    call bpf_ringbuf_submit_dynptr
    r1 = r10
    r1 += -16
    r2 = 0
    call bpf_ringbuf_submit_dynptr
    r0 = 0
    exit
