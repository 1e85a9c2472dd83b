; test verify
; An iterator is not destroyed.
; verify: => refused="Unreleased reference" id=verifier-reference-leak because="bpf_iter_num_new" edit=verifies
; kernel: struct bpf_iter_num { u64 __opaque[1]; };
; kernel: .extern kfunc int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)
; kernel: .extern kfunc int *bpf_iter_num_next(struct bpf_iter_num *it)
; kernel: .extern kfunc void bpf_iter_num_destroy(struct bpf_iter_num *it)
.license "GPL"
struct bpf_iter_num { u64 __opaque[1]; };
.extern kfunc int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end)
.extern kfunc int *bpf_iter_num_next(struct bpf_iter_num *it)
.extern kfunc void bpf_iter_num_destroy(struct bpf_iter_num *it)
.section "tc"
.function int t(struct __sk_buff *ctx)
    r1 = r10
    r1 += -8
    r2 = 0
    r3 = 10
    call kfunc bpf_iter_num_new
again:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_next
    if r0 != 0 goto again
    r0 = 0
    exit
