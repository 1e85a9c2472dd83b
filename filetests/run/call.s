; test run on interp, proven, kernel
; Functions have frames of their own and keep r6 to r9; arguments travel in r1 to r5.

; run: data=zeros(64) program=twice => r0=0x2a
; run: data=zeros(64) program=keeps => r0=0x36c
; run: data=zeros(64) program=deep => r0=0x7

.license "GPL"

.section "xdp"
.function twice
    r1 = 20
    r2 = 1
    call add
    r1 = r0
    r2 = 21
    call add
    exit

.section "xdp"
.function keeps
    r6 = 6
    r7 = 70
    *(u64 *)(r10 - 8) = 800
    r1 = 0
    r2 = 0
    call clobber
    r0 = r6
    r0 += r7
    r1 = *(u64 *)(r10 - 8)
    r0 += r1
    exit

.section "xdp"
.function deep
    r1 = 1
    call one
    exit

.section ".text"
.function static add
    r0 = r1
    r0 += r2
    exit

.function static clobber
    r6 = 1
    r7 = 2
    r8 = 3
    r9 = 4
    *(u64 *)(r10 - 8) = 5
    r0 = 0
    exit

.function static one
    r1 <<= 1
    call two
    r0 += 1
    exit

.function static two
    r1 <<= 1
    call three
    r0 += 2
    exit

.function static three
    r0 = r1
    exit
