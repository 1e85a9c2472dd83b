; test run on interp, proven, kernel
; Maps from a program: counting, missing keys, what updates answer, globals.

; run: data=zeros(64) program=count => r0=0x0 slots[01000000]=0100000000000000 slots[00000000]=0000000000000000
; run: data=zeros(64) program=insert => r0=0x0 table[07000000]=2a00000000000000 table[08000000]=absent
; run: data=zeros(64) program=exists => r0=0xffffffef
; run: data=zeros(64) program=missing => r0=0xfffff82e
; run: data=zeros(64) program=remove => r0=0x0 table[05000000]=absent
; run: data=zeros(64) program=full => r0=0xfffffff9
; run: data=zeros(64) program=read_global => r0=0x7b
; run: data=zeros(64) program=tail => r0=0x4d
; run: data=zeros(64) program=tail_missing => r0=0x1
; run: data=zeros(64) program=fifo => r0=0x5

.license "GPL"

.map slots {
    type array
    key u32
    value u64
    max_entries 4
}

.map table {
    type hash
    key u32
    value u64
    max_entries 2
}

.map jumps {
    type prog_array
    key_size 4
    value_size 4
    max_entries 2
    [1] = target
}

.map line {
    type queue
    value u64
    max_entries 4
}

.global .rodata const u64 limit = 100
.global .data u64 level = 23

.section "xdp"
.function count
    *(u32 *)(r10 - 4) = 1
    r1 = map slots ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 0
    exit

.section "xdp"
.function insert
    *(u32 *)(r10 - 4) = 7
    *(u64 *)(r10 - 16) = 42
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    exit

.section "xdp"
.function exists
    *(u32 *)(r10 - 4) = 7
    *(u64 *)(r10 - 16) = 42
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call bpf_map_update_elem
    r6 = r0
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 1
    call bpf_map_update_elem
    r6 *= 1000
    r0 += r6
    exit

.section "xdp"
.function missing
    *(u32 *)(r10 - 4) = 9
    *(u64 *)(r10 - 16) = 42
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 2
    call bpf_map_update_elem
    r6 = r0
    r1 = map table ll
    r2 = r10
    r2 += -4
    call bpf_map_delete_elem
    r0 *= 1000
    r0 += r6
    exit

.section "xdp"
.function remove
    *(u32 *)(r10 - 4) = 5
    *(u64 *)(r10 - 16) = 42
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r1 = map table ll
    r2 = r10
    r2 += -4
    call bpf_map_delete_elem
    exit

.section "xdp"
.function full
    r6 = 3
    r7 = 0
again:
    *(u32 *)(r10 - 4) = r6
    *(u64 *)(r10 - 16) = r6
    r1 = map table ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r7 += r0
    r6 += -1
    if r6 != 0 goto again
    r0 = r7
    exit

.section "xdp"
.function read_global
    r1 = global limit ll
    r0 = *(u64 *)(r1 + 0)
    r1 = global level ll
    r2 = *(u64 *)(r1 + 0)
    r0 += r2
    exit

.section "xdp"
.function tail
    r2 = map jumps ll
    r3 = 1
    call bpf_tail_call
    r0 = 1
    exit

.section "xdp"
.function tail_missing
    r2 = map jumps ll
    r3 = 0
    call bpf_tail_call
    r0 = 1
    exit

.section "xdp"
.function target
    r0 = 77
    exit

.section "xdp"
.function fifo
    *(u64 *)(r10 - 8) = 5
    r1 = map line ll
    r2 = r10
    r2 += -8
    r3 = 0
    call bpf_map_push_elem
    *(u64 *)(r10 - 8) = 6
    r1 = map line ll
    r2 = r10
    r2 += -8
    r3 = 0
    call bpf_map_push_elem
    r1 = map line ll
    r2 = r10
    r2 += -8
    call bpf_map_pop_elem
    r0 = *(u64 *)(r10 - 8)
    exit
