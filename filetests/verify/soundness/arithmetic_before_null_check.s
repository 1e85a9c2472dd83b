; test verify
; CVE-2022-23222: a pointer that may be NULL must stay as it is until it was compared.
; verify: => refused="R0 pointer arithmetic on map_value_or_null prohibited, null-check it first" id=verifier-null-pointer edit=verifies
.license "GPL"
.map bytes {
    type hash
    key u32
    value char[48]
    max_entries 1
}
.section "tc"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    r0 += 8
    if r0 == 0 goto out
    *(u8 *)(r0 + 0) = 0
out:
    r0 = 0
    exit
