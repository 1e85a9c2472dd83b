; The shortest XDP program: every packet is dropped.
.section "xdp"
.function drop
    r0 = 1
    exit
