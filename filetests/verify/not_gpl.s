; test verify
; A helper for GPL programs.
; verify: => refused="cannot call GPL-restricted function from non-GPL compatible program" id=verifier-license edit=verifies
.license "Proprietary"
.section "tp/sched/sched_switch"
.function t
    call bpf_get_current_task
    r0 = 0
    exit
