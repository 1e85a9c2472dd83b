; test run on interp, proven, kernel
; 32-bit arithmetic clears the upper half.

; run: data=zeros(64) program=add => r0=0x22222211
; run: data=zeros(64) program=sub => r0=0x13579bcf
; run: data=zeros(64) program=mul => r0=0xe5618cf0
; run: data=zeros(64) program=or => r0=0x9ffddff1
; run: data=zeros(64) program=and => r0=0x82244220
; run: data=zeros(64) program=xor => r0=0x1dd99dd1
; run: data=zeros(64) program=neg => r0=0x65432110
; run: data=zeros(64) program=mov => r0=0x87654321
; run: data=zeros(64) program=add_imm => r0=0x9abcdeef
; run: data=zeros(64) program=mov_imm => r0=0xffffffff
; run: data=zeros(64) program=lsh => r0=0x0
; run: data=zeros(64) program=arsh => r0=0xffffffff

.license "GPL"

.section "xdp"
.function add
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 += w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function sub
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 -= w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function mul
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 *= w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function or
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 |= w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function and
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 &= w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function xor
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 ^= w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function neg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 = -w0
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function mov
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 = w1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function add_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 += -1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function mov_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 = -1
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function lsh
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 <<= 31
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit

.section "xdp"
.function arsh
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w0 s>>= 31
    r2 = r0
    r2 >>= 32
    if r2 != 0 goto bad
    exit
bad:
    r0 = 1
    exit
