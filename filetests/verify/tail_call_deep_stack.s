; test verify
; A tail call from a function whose caller already uses more than 256 bytes.
; verify: => refused="tail_calls are not allowed when call stack of previous frames is" id=verifier-call-depth because="0: this function uses 280 bytes" edit=verifies
.license "GPL"
.map next {
    type prog_array
    key u32
    value u32
    max_entries 4
}
.section "tc"
.function int t(struct __sk_buff *ctx)
    *(u64 *)(r10 - 280) = 0
    call jumps
    r0 = 0
    exit
.section ".text"
.function static int jumps(struct __sk_buff *ctx)
    r2 = map next ll
    r3 = 0
    call bpf_tail_call
    r0 = 0
    exit
