; test run on interp, proven, kernel
; Shift counts are taken modulo the width.

; run: data=zeros(64) program=lsh => r0=0x888889ab
; run: data=zeros(64) program=rsh => r0=0x67888888
; run: data=zeros(64) program=arsh => r0=0x67888888
; run: data=zeros(64) program=lsh_reg => r0=0x888889ab
; run: data=zeros(64) program=rsh_reg => r0=0x88888888
; run: data=zeros(64) program=arsh_reg => r0=0x3f
; run: data=zeros(64) program=lsh32_reg => r0=0xabcdef00
; run: data=zeros(64) program=rsh32_reg => r0=0x9abcdef
; run: data=zeros(64) program=arsh32_reg => r0=0xffffffc0

.license "GPL"

.section "xdp"
.function lsh
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 <<= 12
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function rsh
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 >>= 12
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function arsh
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = -r0
    r0 s>>= 12
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function lsh_reg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 76
    r0 <<= r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function rsh_reg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 68
    r0 >>= r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function arsh_reg
    r0 = -256
    r1 = 66
    r0 s>>= r1
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function lsh32_reg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 36
    w0 <<= w1
    exit

.section "xdp"
.function rsh32_reg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 36
    w0 >>= w1
    exit

.section "xdp"
.function arsh32_reg
    r0 = -256
    r1 = 34
    w0 s>>= w1
    exit
