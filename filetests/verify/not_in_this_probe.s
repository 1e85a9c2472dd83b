; test verify
; bpf_d_path() may only be called at a few functions.
; verify: => refused="helper call is not allowed in probe" id=verifier-helper edit=verifies
; kernel: struct path { void *mnt; void *dentry; };
; kernel: struct file { struct path f_path; };
; kernel: .extern kfunc int some_function(struct file *file)
.license "GPL"
.section "fentry/some_function"
.function int t(u64 *ctx)
    r1 = *(u64 *)(r1 + 0)
    r2 = r10
    r2 += -64
    r3 = 64
    call bpf_d_path
    r0 = 0
    exit
