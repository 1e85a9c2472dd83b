; test verify
; A sleepable program at a function that may be called where nothing may sleep.
; verify: => refused="is not sleepable" id=verifier-attach-target edit=verifies
; kernel: .extern kfunc int kfree_skb(int a)
.license "GPL"
.section "fentry.s/kfree_skb"
.function int t(u64 *ctx)
    r0 = 0
    exit
