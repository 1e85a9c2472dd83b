; test verify
; A 4-byte field read as 8 bytes.
; verify: => refused="invalid bpf_context access off=0 size=8" id=verifier-context-access edit=verifies
.license "GPL"
.section "tc"
.function t
    r0 = *(u64 *)(r1 + 0)
    r0 = 0
    exit
