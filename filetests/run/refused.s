; test run on interp
; What the embedded engine does not have is refused at load, by name.

; run: program=nope => refused="bpf_override_return"

.license "GPL"

.section "xdp"
.function nope
    r2 = 0
    call bpf_override_return
    exit
