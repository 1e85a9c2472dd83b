; test verify
; A byte that is read back with its sign is no copy of what was spilled: comparing the copy says nothing of it.
; (Linux 6.18.44 takes it for one: found by checked execution.)
; verify: => refused="invalid variable-offset write to stack R1"
.license "GPL"
.section "socket"
.function t
    call bpf_get_prandom_u32
    r0 &= 255
    *(u64 *)(r10 - 8) = r0
    r3 = *(s8 *)(r10 - 8)
    if r0 < 200 goto out
    r3 -= 200
    r1 = r10
    r1 += -256
    r1 += r3
    *(u8 *)(r1 + 0) = 1
out:
    r0 = 0
    exit
