; test run on interp, kernel
; 32-bit arithmetic clears the upper half.

; run: data=zeros(64) program=add => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=sub => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mul => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=or => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=and => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=xor => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=neg => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mov => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=add_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=mov_imm => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=lsh => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=arsh => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

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
