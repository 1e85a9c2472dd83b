; test verify
; Nine functions, each called by the one before.
; verify: => refused="frames is too deep" id=verifier-call-depth because="21: function 9 of the chain" edit=verifies
.license "GPL"
.section "socket"
.function t
    call f1
    r0 = 0
    exit
.section ".text"
.function static f1
    call f2
    r0 = 0
    exit
.function static f2
    call f3
    r0 = 0
    exit
.function static f3
    call f4
    r0 = 0
    exit
.function static f4
    call f5
    r0 = 0
    exit
.function static f5
    call f6
    r0 = 0
    exit
.function static f6
    call f7
    r0 = 0
    exit
.function static f7
    call f8
    r0 = 0
    exit
.function static f8
    r0 = 0
    exit
