; test verify
; CVE-2023-39191: a write at a variable offset may not reach a dynptr.
; verify: => refused="dynptr"
.license "GPL"
.map events {
    type ringbuf
    max_entries 4096
}
.section "tc"
.function t
    r6 = *(u32 *)(r1 + 0)
    r1 = map events ll
    r2 = 8
    r3 = 0
    r4 = r10
    r4 += -16
    call bpf_ringbuf_reserve_dynptr
    r6 &= 15
    r7 = r10
    r7 += -24
    r7 += r6
    *(u8 *)(r7 + 0) = 0
    r1 = r10
    r1 += -16
    r2 = 0
    call bpf_ringbuf_discard_dynptr
    r0 = 0
    exit
