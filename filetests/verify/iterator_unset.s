; test verify
; An iterator is advanced that was never begun.
; verify: => refused="expected an initialized iter_num as arg #0" id=verifier-iterator edit=verifies
; kernel: struct bpf_iter_num { u64 __opaque[1]; };
; kernel: .extern kfunc int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)
; kernel: .extern kfunc int *bpf_iter_num_next(struct bpf_iter_num *it)
; kernel: .extern kfunc void bpf_iter_num_destroy(struct bpf_iter_num *it)
.license "GPL"
struct bpf_iter_num { u64 __opaque[1]; };
.extern kfunc int *bpf_iter_num_next(struct bpf_iter_num *it)
.extern kfunc void bpf_iter_num_destroy(struct bpf_iter_num *it)
.section "tc"
.function int t(struct __sk_buff *ctx)
again:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_next
    if r0 != 0 goto again
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_destroy
    r0 = 0
    exit
