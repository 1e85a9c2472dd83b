; test run on interp, proven, kernel
; 64-bit arithmetic, by register and immediate.

; run: data=zeros(64) program=add => r0=0x22222211
; run: data=zeros(64) program=sub => r0=0x13579bcf
; run: data=zeros(64) program=mul => r0=0xe5618cf0
; run: data=zeros(64) program=or => r0=0x9ffddff1
; run: data=zeros(64) program=and => r0=0x82244220
; run: data=zeros(64) program=xor => r0=0x1dd99dd1
; run: data=zeros(64) program=neg => r0=0x65432110
; run: data=zeros(64) program=add_imm => r0=0x9abcdeef
; run: data=zeros(64) program=mul_imm => r0=0x2fc96330
; run: data=zeros(64) program=and_imm => r0=0x9abcdef0
; run: data=zeros(64) program=or_imm => r0=0x9abcdef0
; run: data=zeros(64) program=xor_imm => r0=0xe543210f
; run: data=zeros(64) program=mov_imm => r0=0xffffffff

.license "GPL"

.section "xdp"
.function add
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 += r1
    exit

.section "xdp"
.function sub
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 -= r1
    exit

.section "xdp"
.function mul
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 *= r1
    exit

.section "xdp"
.function or
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 |= r1
    exit

.section "xdp"
.function and
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 &= r1
    exit

.section "xdp"
.function xor
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 ^= r1
    exit

.section "xdp"
.function neg
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = -r0
    exit

.section "xdp"
.function add_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 += -1
    exit

.section "xdp"
.function mul_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 *= -3
    exit

.section "xdp"
.function and_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 &= -16
    exit

.section "xdp"
.function or_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 |= -2147483648
    exit

.section "xdp"
.function xor_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 ^= 2147483647
    exit

.section "xdp"
.function mov_imm
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = -1
    r0 >>= 4
    exit
