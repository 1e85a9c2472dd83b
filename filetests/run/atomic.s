; test run on interp, proven, kernel
; Atomics of both widths; what is fetched is the old value, zero-extended.

; run: data=zeros(64) program=add64 => r0=0x4040c04
; run: data=zeros(64) program=or64 => r0=0x4000400
; run: data=zeros(64) program=and64 => r0=0x4000c
; run: data=zeros(64) program=xor64 => r0=0x404040c
; run: data=zeros(64) program=fetch_add64 => r0=0x808
; run: data=zeros(64) program=fetch_or64 => r0=0x4000c
; run: data=zeros(64) program=fetch_and64 => r0=0x4000400
; run: data=zeros(64) program=fetch_xor64 => r0=0x0
; run: data=zeros(64) program=add32 => r0=0x7070b03
; run: data=zeros(64) program=or32 => r0=0x47d047b
; run: data=zeros(64) program=and32 => r0=0x8104830c
; run: data=zeros(64) program=xor32 => r0=0x4fb04f3
; run: data=zeros(64) program=fetch_add32 => r0=0x82818c8b
; run: data=zeros(64) program=fetch_or32 => r0=0x81fb83f3
; run: data=zeros(64) program=fetch_and32 => r0=0x4820484
; run: data=zeros(64) program=fetch_xor32 => r0=0x817d837b
; run: data=zeros(64) program=xchg64 => r0=0x404040c
; run: data=zeros(64) program=xchg32 => r0=0x4fb04f3
; run: data=zeros(64) program=cmpxchg64_hit => r0=0x404040c
; run: data=zeros(64) program=cmpxchg64_miss => r0=0x8080819
; run: data=zeros(64) program=cmpxchg32_hit => r0=0x4fb04f3
; run: data=zeros(64) program=cmpxchg32_miss => r0=0x8a8f8c95

.license "GPL"

.section "xdp"
.function add64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u64 *)(r10 - 8) += r2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function or64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u64 *)(r10 - 8) |= r2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function and64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u64 *)(r10 - 8) &= r2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function xor64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u64 *)(r10 - 8) ^= r2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_add64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r2 = atomic_fetch_add((u64 *)(r10 - 8), r2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_or64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r2 = atomic_fetch_or((u64 *)(r10 - 8), r2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_and64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r2 = atomic_fetch_and((u64 *)(r10 - 8), r2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_xor64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r2 = atomic_fetch_xor((u64 *)(r10 - 8), r2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function add32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u32 *)(r10 - 8) += w2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function or32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u32 *)(r10 - 8) |= w2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function and32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u32 *)(r10 - 8) &= w2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function xor32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    lock *(u32 *)(r10 - 8) ^= w2
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_add32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w2 = atomic_fetch_add((u32 *)(r10 - 8), w2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_or32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w2 = atomic_fetch_or((u32 *)(r10 - 8), w2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_and32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w2 = atomic_fetch_and((u32 *)(r10 - 8), w2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function fetch_xor32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w2 = atomic_fetch_xor((u32 *)(r10 - 8), w2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function xchg64
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r2 = xchg_64(r10 - 8, r2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function xchg32
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w2 = xchg32_32(r10 - 8, w2)
    r0 = *(u64 *)(r10 - 8)
    r0 ^= r2
    r3 = r0
    r3 >>= 32
    r0 ^= r3
    exit

.section "xdp"
.function cmpxchg64_hit
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r0 = r1
    r0 = cmpxchg_64(r10 - 8, r0, r2)
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function cmpxchg64_miss
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    r0 = cmpxchg_64(r10 - 8, r0, r2)
    r4 = *(u64 *)(r10 - 8)
    r0 += r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function cmpxchg32_hit
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w0 = w1
    w0 = cmpxchg32_32(r10 - 8, w0, w2)
    r4 = *(u64 *)(r10 - 8)
    r0 ^= r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit

.section "xdp"
.function cmpxchg32_miss
    r1 = 0x8182838485868788 ll
    *(u64 *)(r10 - 8) = r1
    r2 = 0x00ff00ff00ff00ff ll
    r0 = 0
    w0 = cmpxchg32_32(r10 - 8, w0, w2)
    r4 = *(u64 *)(r10 - 8)
    r0 += r4
    r2 = r0
    r2 >>= 32
    r0 ^= r2
    exit
