; test verify
; A variable over the place of a reservation that is still open.
; verify: => refused="cannot overwrite referenced dynptr" id=verifier-dynptr because="initialised here" edit=verifies
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
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -16
    r2 = 0
    call bpf_ringbuf_submit_dynptr
    r0 = 0
    exit
