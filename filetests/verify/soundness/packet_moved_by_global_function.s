; test verify
; CVE-2024-58098: a global function that may move the packet makes pointers into it void.
; verify: => refused="R7 invalid mem access 'scalar'"
.license "GPL"
struct __sk_buff { u32 len; };
.section "tc"
.function int t(struct __sk_buff *ctx)
    r6 = r1
    r7 = *(u32 *)(r1 + 76)
    r8 = *(u32 *)(r1 + 80)
    r2 = r7
    r2 += 14
    if r2 > r8 goto out
    r1 = r6
    call pulls
    r0 = *(u8 *)(r7 + 0)
out:
    r0 = 0
    exit
.section ".text"
.function int pulls(struct __sk_buff *ctx)
    r2 = 64
    call bpf_skb_pull_data
    r0 = 0
    exit
