; test verify
; A global function is called with a number where its type says a pointer.
; verify: => refused="Caller passes invalid args into func#1 ('reads')" id=verifier-global-function because="0: r1 is set here" edit=verifies
.license "GPL"
struct pair { int first; int second; };
.section "tc"
.function int t(struct __sk_buff *ctx)
    r1 = 7
    call reads
    r0 = 0
    exit
.section ".text"
.function int reads(struct pair *pair)
    r0 = 0
    if r1 == 0 goto out
    r0 = *(u32 *)(r1 + 4)
out:
    exit
