; test verify
; CVE-2024-58100, CVE-2024-58237: a tail call within a function may lead to one that moves the packet.
; verify: => refused="R7 invalid mem access 'scalar'"
.license "GPL"
.map next {
    type prog_array
    key u32
    value u32
    max_entries 4
}
.section "tc"
.function int t(struct __sk_buff *ctx)
    r6 = r1
    r7 = *(u32 *)(r1 + 76)
    r8 = *(u32 *)(r1 + 80)
    r2 = r7
    r2 += 14
    if r2 > r8 goto out
    r1 = r6
    call jumps
    r0 = *(u8 *)(r7 + 0)
out:
    r0 = 0
    exit
.section ".text"
.function static int jumps(struct __sk_buff *ctx)
    r2 = map next ll
    r3 = 0
    call bpf_tail_call
    r0 = 0
    exit
