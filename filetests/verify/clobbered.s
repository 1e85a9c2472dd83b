; test verify
; r1 to r5 hold nothing after a call.
; verify: => refused="R1 !read_ok" id=verifier-uninitialised-register because="0: leaves r1 to r5 without values" edit=verifies
.license "GPL"
.section "socket"
.function t
    call bpf_ktime_get_ns
    r0 = *(u32 *)(r1 + 0)
    exit
