; test run on interp, kernel
; Loads of each width, plain and sign-extending; stores leave their neighbours.

; run: data=zeros(64) program=load_u8 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_u16 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_u32 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_u64 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_s8 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_s16 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=load_s32 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_u8 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_u16 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_u32 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_u64 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_imm_u8 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_imm_u16 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_imm_u32 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=store_imm_u64 => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

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
