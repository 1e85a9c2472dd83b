; test verify
; Bytes of the packet are read before they were compared with its end.
; verify: => refused="invalid access to packet, off=12 size=2" id=verifier-packet-bounds because="1: read from the context" edit=verifies
.license "GPL"
.section "xdp"
.function t
    r3 = *(u32 *)(r1 + 4)
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u16 *)(r2 + 12)
    r0 = 2
    exit
