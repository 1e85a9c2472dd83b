; test run on interp
; What a verifier would refuse ends in a trap that says where and why.

; run: data=zeros(20) program=past_packet => trap="4 bytes at packet+18, packet ends at 20"
; run: data=zeros(20) program=null => trap="instruction 1"
; run: data=zeros(20) program=past_stack => trap="8 bytes at fp-520, the stack frame is 512 bytes"
; run: data=zeros(20) program=read_only => trap="value of map .rodata+0, which is read-only"

.license "GPL"

.global .rodata const u64 limit = 100

.section "xdp"
.function past_packet
    r2 = *(u32 *)(r1 + 0)
    r0 = *(u32 *)(r2 + 18)
    exit

.section "xdp"
.function null
    r1 = 0
    r0 = *(u64 *)(r1 + 0)
    exit

.section "xdp"
.function past_stack
    r0 = *(u64 *)(r10 - 520)
    exit

.section "xdp"
.function read_only
    r1 = global limit ll
    r2 = 1
    *(u64 *)(r1 + 0) = r2
    r0 = 0
    exit
