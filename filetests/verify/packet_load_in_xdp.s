; test verify
; The classic packet load outside of socket filters and tc.
; verify: => refused="BPF_LD_[ABS|IND] instructions not allowed for this program type" id=verifier-packet-load edit=verifies
.license "GPL"
.section "xdp"
.function t
    r6 = r1
    r0 = *(u8 *)skb[12]
    r0 = 2
    exit
