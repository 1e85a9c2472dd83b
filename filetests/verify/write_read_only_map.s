; test verify
; A write to a map that programs may only read.
; verify: => refused="write into map forbidden" id=verifier-read-only because="5: the address of a value of the map" edit=verifies
.license "GPL"
.map settings {
    type array
    key u32
    value u64
    max_entries 1
    flags BPF_F_RDONLY_PROG
}
.section "tc"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map settings ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = 1
out:
    r0 = 0
    exit
