; test verify
; CVE-2019-7308, CVE-2020-27170, CVE-2021-33200: an offset that comes with other limits on another path cannot be masked.
; verify: unprivileged => refused="tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root"
; verify: => loads
.license "GPL"
.map bytes {
    type array
    key u32
    value char[48]
    max_entries 1
}
.section "socket"
.function t
    r6 = *(u32 *)(r1 + 0)
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 4
    if r6 == 0 goto add
    r1 = r6
    r1 &= 15
add:
    r0 += r1
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
