; test run on interp, proven, kernel
; Division by zero gives 0, remainder by zero leaves the value; the smallest number divided by -1 overflows to itself.

; run: data=zeros(64) program=div => r0=0x1
; run: data=zeros(64) program=mod => r0=0x13579bcf
; run: data=zeros(64) program=sdiv => r0=0xffffffff
; run: data=zeros(64) program=smod => r0=0xfffffffb
; run: data=zeros(64) program=div_zero => r0=0x0
; run: data=zeros(64) program=mod_zero => r0=0x9abcdef0
; run: data=zeros(64) program=sdiv_zero => r0=0x0
; run: data=zeros(64) program=smod_zero => r0=0x9abcdef0
; run: data=zeros(64) program=div32_zero => r0=0x0
; run: data=zeros(64) program=mod32_zero => r0=0x9abcdef0
; run: data=zeros(64) program=sdiv_min => r0=0x80000000
; run: data=zeros(64) program=smod_min => r0=0x0
; run: data=zeros(64) program=sdiv32_min => r0=0x80000000
; run: data=zeros(64) program=smod32_min => r0=0x0
; run: data=zeros(64) program=sdiv_imm => r0=0xfffffffd
; run: data=zeros(64) program=smod_imm => r0=0xffffffff
; run: data=zeros(64) program=sdiv_neg_imm => r0=0xfffffffd

.license "GPL"

.section "xdp"
.function div
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 /= r1
    exit

.section "xdp"
.function mod
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 %= r1
    exit

.section "xdp"
.function sdiv
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = -r0
    r0 s/= r1
    exit

.section "xdp"
.function smod
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = -r0
    r0 s%= 7
    exit

.section "xdp"
.function div_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 0
    r0 /= r1
    exit

.section "xdp"
.function mod_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 0
    r0 %= r1
    exit

.section "xdp"
.function sdiv_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 0
    r0 s/= r1
    exit

.section "xdp"
.function smod_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r1 = 0
    r0 s%= r1
    exit

.section "xdp"
.function div32_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w1 = 0
    w0 /= w1
    exit

.section "xdp"
.function mod32_zero
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    w1 = 0
    w0 %= w1
    r2 = r0
    r2 >>= 32
    r0 += r2
    exit

.section "xdp"
.function sdiv_min
    r0 = 0x8000000000000000 ll
    r1 = -1
    r0 s/= r1
    r0 >>= 32
    exit

.section "xdp"
.function smod_min
    r0 = 0x8000000000000000 ll
    r1 = -1
    r0 s%= r1
    exit

.section "xdp"
.function sdiv32_min
    w0 = -2147483648
    w1 = -1
    w0 s/= w1
    exit

.section "xdp"
.function smod32_min
    w0 = -2147483648
    w1 = -1
    w0 s%= w1
    exit

.section "xdp"
.function sdiv_imm
    r0 = -13
    r0 s/= 4
    w0 = w0
    exit

.section "xdp"
.function smod_imm
    r0 = -13
    r0 s%= 4
    w0 = w0
    exit

.section "xdp"
.function sdiv_neg_imm
    r0 = 13
    r0 s/= -4
    w0 = w0
    exit
