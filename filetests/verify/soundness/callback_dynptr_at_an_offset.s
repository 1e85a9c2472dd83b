; test verify
; CVE-2024-43910: the dynptr of a callback is passed on as it is.
; verify: => refused="dereference of modified dynptr_ptr ptr R1 off=8 disallowed"
.license "GPL"
.map samples {
    type user_ringbuf
    max_entries 4096
}
.section "tc"
.function int t(struct __sk_buff *ctx)
    r1 = map samples ll
    r2 = func each ll
    r3 = 0
    r4 = 0
    call bpf_user_ringbuf_drain
    r0 = 0
    exit
.section ".text"
.function static int each(void *dynptr, void *ctx)
    r1 += 8
    r2 = 0
    r3 = 4
    call bpf_dynptr_data
    r0 = 0
    exit
