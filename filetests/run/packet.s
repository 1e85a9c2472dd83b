; test run on interp, proven, kernel
; Packets: bounds, changes to the bytes, moving head and tail.

; run: data=zeros(64) program=length => r0=0x40
; run: data=0102030405060708090a0b0c0d0e0f101112 program=first => r0=0x8070605
; run: data=0102030405060708090a0b0c0d0e0f101112 program=write => r0=0x2 data=ee02030405060708090a0b0c0d0e0f101112
; run: data=0102030405060708090a0b0c0d0e0f101112 program=shrink => r0=0x2 data=05060708090a0b0c0d0e0f101112
; run: data=0102030405060708090a0b0c0d0e0f10 program=grow_tail => r0=0x2 data=0102030405060708090a0b0c0d0e0f1000000000
; run: data=0102030405060708090a0b0c0d0e0f10 program=too_much => r0=0xffffffea

.license "GPL"

.section "xdp"
.function length
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u32 *)(r1 + 4)
    r0 -= r2
    exit

.section "xdp"
.function first
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 8
    r0 = 0
    if r4 > r3 goto out
    r0 = *(u32 *)(r2 + 4)
out:
    exit

.section "xdp"
.function write
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 1
    r0 = 1
    if r4 > r3 goto out
    *(u8 *)(r2 + 0) = 0xee
    r0 = 2
out:
    exit

.section "xdp"
.function shrink
    r2 = 4
    call bpf_xdp_adjust_head
    r0 += 2
    exit

.section "xdp"
.function grow_tail
    r2 = 4
    call bpf_xdp_adjust_tail
    r0 += 2
    exit

; Less than an Ethernet header may not remain.
.section "xdp"
.function too_much
    r2 = 8
    call bpf_xdp_adjust_head
    exit
