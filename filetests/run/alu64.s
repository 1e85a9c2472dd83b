; test run on interp, kernel
; 64-bit arithmetic, by register and immediate.

; run: data=zeros(64) program=add => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=sub => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mul => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=or => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=and => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=xor => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=neg => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=add_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mul_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=and_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=or_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=xor_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mov_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

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
