; test verify
; An address returned, and one put into a map, by a program of an unprivileged user.
; verify: unprivileged => refused="R0 leaks addr as return value" id=verifier-pointer-leak because="0: r0 gets the address here" edit=verifies
; verify: unprivileged program=stored => refused="leaks addr into map" id=verifier-pointer-leak edit=verifies
.license "GPL"
.map values {
    type hash
    key u32
    value u64
    max_entries 4
}
.section "socket"
.function t
    r0 = r10
    exit
.section "socket"
.function stored
    r6 = r1
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map values ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = r6
out:
    r0 = 0
    exit
