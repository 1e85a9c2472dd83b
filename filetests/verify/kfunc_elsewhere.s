; test verify
; A kernel function that this kind of program may not call.
; verify: => refused="calling kernel function bpf_put_file is not allowed" id=verifier-kfunc edit=verifies
; verify: kernel=5.10 => refused="" id=verifier-kfunc edit=verifies
; kernel: struct file { int f_flags; };
; kernel: .extern kfunc void bpf_put_file(struct file *file)
.license "GPL"
struct file { int f_flags; };
.extern kfunc void bpf_put_file(struct file *file)
.section "tc"
.function int t(struct __sk_buff *ctx)
    r1 = 0
    call kfunc bpf_put_file
    r0 = 0
    exit
