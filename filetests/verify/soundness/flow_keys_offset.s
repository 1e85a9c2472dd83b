; test verify
; CVE-2024-26589: flow keys are read at constant offsets.
; verify: => refused="R7 pointer arithmetic on flow_keys prohibited"
.license "GPL"
.section "flow_dissector"
.function t
    r6 = r1
    call bpf_get_prandom_u32
    r8 = r0
    r8 &= 7
    r7 = *(u64 *)(r6 + 144)
    r7 += r8
    r0 = *(u8 *)(r7 + 0)
    r0 = 0
    exit
