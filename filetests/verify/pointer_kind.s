; test verify
; Bytes behind the packet's end. No edit: whatever is meant, it is not there.
; verify: => refused="R3 invalid mem access 'pkt_end'" id=verifier-pointer-kind edit=none
.license "GPL"
.section "xdp"
.function t
    r3 = *(u32 *)(r1 + 4)
    r0 = *(u8 *)(r3 + 0)
    r0 = 2
    exit
