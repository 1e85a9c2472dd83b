; test run on interp, kernel
; Maps from a program: counting, missing keys, what updates answer, globals.

; run: data=zeros(64) program=count => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=insert => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=exists => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=missing => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=remove => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=full => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=read_global => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=tail => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=tail_missing => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=fifo => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

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
