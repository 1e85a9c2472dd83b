; test verify
; CVE-2023-52920: a number that went to the stack through another pointer than r10 is still the one whose value matters.
; verify: freq => refused="invalid access to map value, value_size=48 off=4096 size=1"
; verify: => refused="invalid access to map value, value_size=48 off=4096 size=1"
.license "GPL"
.map bytes {
    type array
    key u32
    value char[48]
    max_entries 1
}
.section "tc"
.function t
    call bpf_get_prandom_u32
    r6 = r0
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = 4096
    if r6 == 0 goto spill
    r7 = 0
spill:
    r1 = r10
    r1 += -16
    *(u64 *)(r1 + 0) = r7
    if r6 == 7 goto on
    r8 = 0
on:
    r2 = *(u64 *)(r10 - 16)
    r0 += r2
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
