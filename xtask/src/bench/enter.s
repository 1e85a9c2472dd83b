; Counts getppid at entry: one stop a call.
.license "GPL"

.map calls {
    type array
    key u32
    value u64
    max_entries 1
}

.section "tracepoint/syscalls/sys_enter_getppid"
.function enter
    *(u32 *)(r10 - 4) = 0
    r1 = map calls ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 0
    exit
