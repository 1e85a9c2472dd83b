; test verify
; page
; A record of a ring buffer is neither submitted nor discarded.
; verify: => refused="reference leak" id=verifier-reference-leak because="4: bpf_ringbuf_reserve takes a reference" edit=verifies
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
    call bpf_ringbuf_reserve
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = 1
    r6 = r0
out:
    r0 = 0
    exit
