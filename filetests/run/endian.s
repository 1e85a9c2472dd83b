; test run on interp, proven, kernel
; Byte order and byte swaps.

; run: data=zeros(64) program=be16 => r0=0xf0de
; run: data=zeros(64) program=be32 => r0=0xf0debc9a
; run: data=zeros(64) program=be64 => r0=0x88888888
; run: data=zeros(64) program=le16 => r0=0xdef0
; run: data=zeros(64) program=le32 => r0=0x9abcdef0
; run: data=zeros(64) program=le64 => r0=0x88888888
; run: data=zeros(64) program=bswap16 => r0=0xf0de
; run: data=zeros(64) program=bswap32 => r0=0xf0debc9a
; run: data=zeros(64) program=bswap64 => r0=0x88888888

.license "GPL"

.section "xdp"
.function be16
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = be16 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function be32
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = be32 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function be64
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = be64 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function le16
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = le16 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function le32
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = le32 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function le64
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = le64 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function bswap16
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = bswap16 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function bswap32
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = bswap32 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function bswap64
    r0 = 0x123456789abcdef0 ll
    r1 = 0x0fedcba987654321 ll
    r0 = bswap64 r0
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit
