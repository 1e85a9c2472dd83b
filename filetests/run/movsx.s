; test run on interp, proven, kernel
; Moves that extend the sign.

; run: data=zeros(64) program=s8 => r0=0x7f
; run: data=zeros(64) program=s16 => r0=0x7fff
; run: data=zeros(64) program=s32 => r0=0x7fffffff
; run: data=zeros(64) program=w8 => r0=0xffffff80
; run: data=zeros(64) program=w16 => r0=0xffff8000

.license "GPL"

.section "xdp"
.function s8
    r1 = 0x1ff80
    r0 = (s8)r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function s16
    r1 = 0x18000
    r0 = (s16)r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function s32
    r1 = 0x180000000 ll
    r0 = (s32)r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function w8
    r1 = 0x1ff80
    w0 = (s8)w1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function w16
    r1 = 0x18000
    w0 = (s16)w1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit
