; test run on interp, proven, kernel
; gotol, and a loop backwards.

; run: data=zeros(64) program=gotol => r0=5
; run: data=zeros(64) program=loop => r0=0x37
; run: data=zeros(64) program=may_goto => r0=0x5

.license "GPL"

.section "xdp"
.function gotol
    r0 = *(u32 *)(r1 + 12)
    if r0 == 9 goto skipped
    gotol over
skipped:
    r0 = 2
over:
    r0 += 4
    exit

.section "xdp"
.function loop
    r0 = 0
    r1 = 10
again:
    r0 += r1
    r1 += -1
    if r1 != 0 goto again
    exit

.section "xdp"
.function may_goto
    r0 = 0
again:
    may_goto out
    r0 += 1
    if r0 < 5 goto again
out:
    exit
