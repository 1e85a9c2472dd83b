; test run on interp, proven, kernel
; Load-acquire and store-release of each width.

; run: data=zeros(64) program=u8 => r0=0x4040484
; run: data=zeros(64) program=u16 => r0=0x4048384
; run: data=zeros(64) program=u32 => r0=0x81828384
; run: data=zeros(64) program=u64 => r0=0x0

.license "GPL"

.section "xdp"
.function u8
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    store_release((u8 *)(r10 - 8), w2)
    w0 = load_acquire((u8 *)(r10 - 8))
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function u16
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    store_release((u16 *)(r10 - 8), w2)
    w0 = load_acquire((u16 *)(r10 - 8))
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function u32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    store_release((u32 *)(r10 - 8), w2)
    w0 = load_acquire((u32 *)(r10 - 8))
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function u64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    store_release((u64 *)(r10 - 8), r2)
    r0 = load_acquire((u64 *)(r10 - 8))
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit
