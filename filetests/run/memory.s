; test run on interp, proven, kernel
; Loads of each width, plain and sign-extending; stores leave their neighbours.

; run: data=zeros(64) program=load_u8 => r0=0x88
; run: data=zeros(64) program=load_u16 => r0=0x8788
; run: data=zeros(64) program=load_u32 => r0=0x85868788
; run: data=zeros(64) program=load_u64 => r0=0x404040c
; run: data=zeros(64) program=load_s8 => r0=0x77
; run: data=zeros(64) program=load_s16 => r0=0x7877
; run: data=zeros(64) program=load_s32 => r0=0x7a797877
; run: data=zeros(64) program=store_u8 => r0=0x404049c
; run: data=zeros(64) program=store_u16 => r0=0x404949c
; run: data=zeros(64) program=store_u32 => r0=0x9494949c
; run: data=zeros(64) program=store_u64 => r0=0x404040c
; run: data=zeros(64) program=store_imm_u8 => r0=0x404047a
; run: data=zeros(64) program=store_imm_u16 => r0=0x4047c7a
; run: data=zeros(64) program=store_imm_u32 => r0=0x7e7d7c7a
; run: data=zeros(64) program=store_imm_u64 => r0=0x1

.license "GPL"

.section "xdp"
.function load_u8
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(u8 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_u16
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(u16 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_u32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(u32 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_u64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_s8
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(s8 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_s16
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(s16 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function load_s32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r0 = *(s32 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_u8
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x1112131415161718 ll
    *(u8 *)(r10 - 8) = r2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_u16
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x1112131415161718 ll
    *(u16 *)(r10 - 8) = r2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_u32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x1112131415161718 ll
    *(u32 *)(r10 - 8) = r2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_u64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x1112131415161718 ll
    *(u64 *)(r10 - 8) = r2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_imm_u8
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    *(u8 *)(r10 - 8) = -2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_imm_u16
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    *(u16 *)(r10 - 8) = -2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_imm_u32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    *(u32 *)(r10 - 8) = -2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function store_imm_u64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    *(u64 *)(r10 - 8) = -2
    r0 = *(u64 *)(r10 - 8)
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit
