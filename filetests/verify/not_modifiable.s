; test verify
; The result of a function is replaced that does not allow it.
; verify: => refused="is not modifiable" id=verifier-attach-target edit=verifies
; kernel: .extern kfunc int vfs_stat(int a)
.license "GPL"
.section "fmod_ret/vfs_stat"
.function int t(u64 *ctx)
    r0 = 0
    exit
