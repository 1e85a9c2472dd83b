; test run on interp, proven, kernel
; bpf_loop calls a function of the program. The kernel takes callbacks only with function types; where a file has none, the
; engine makes them up.

; run: data=zeros(64) program=looped => r0=0x33c

.license "GPL"

; The callback counts into the caller's stack through the context that it is given.
.section "xdp"
.function looped
    *(u64 *)(r10 - 8) = 0
    r1 = 10
    r2 = func count ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r1 = *(u64 *)(r10 - 8)
    r0 *= 100
    r0 += r1
    exit

.section ".text"
.function static count
    r3 = *(u64 *)(r2 + 0)
    r3 += r1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    if r1 == 7 goto stop
    exit
stop:
    r0 = 1
    exit
