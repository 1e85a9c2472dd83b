; test verify
; A kprobe that changes a register: 6.18.15 lets it, 6.18.44 does not, 7.3 does.
; verify: => refused="invalid bpf_context access off=80 size=8" id=verifier-context-access
; verify: kernel=6.18.44 => refused="invalid bpf_context access off=80 size=8" id=verifier-context-access
; verify: kernel=6.18.15 => loads
; verify: kernel=7.3 => loads
.license "GPL"
.section "kprobe/do_unlinkat"
.function t
    r0 = 0
    *(u64 *)(r1 + 80) = r0
    exit
