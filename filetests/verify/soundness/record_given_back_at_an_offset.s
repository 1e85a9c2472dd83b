; test verify
; CVE-2021-4204: a helper that takes back a record gets the record, not a place within.
; verify: => refused="R1 must have zero offset when passed to release func or trusted arg to kfunc"
.license "GPL"
.map events {
    type ringbuf
    max_entries 4096
}
.section "tc"
.function t
    r1 = map events ll
    r2 = 16
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto out
    r1 = r0
    r1 += 8
    r2 = 0
    call bpf_ringbuf_submit
out:
    r0 = 0
    exit
