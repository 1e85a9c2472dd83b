; test verify
; page
; A number from a tracepoint's record is used as an address.
; verify: => refused="R1 invalid mem access 'scalar'" id=verifier-scalar-pointer because="0: read from the context" edit=verifies
.license "GPL"
.section "tp/sched/sched_switch"
.function t
    r1 = *(u64 *)(r1 + 8)
    r1 = *(u64 *)(r1 + 0)
    r0 = 0
    exit
