; test run on interp, kernel
; gotol, and a loop backwards.

; run: data=zeros(64) program=gotol => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=loop => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=may_goto => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

.license "GPL"

.section "xdp"
.function gotol
    r0 = 1
    gotol over
    r0 = 2
over:
    r0 += 4
    exit

.section "xdp"
.function loop
    r0 = 0
    r1 = 10
again:
    r0 += r1
    r1 += -1
    if r1 != 0 goto again
    exit

.section "xdp"
.function may_goto
    r0 = 0
again:
    may_goto out
    r0 += 1
    if r0 < 5 goto again
out:
    exit
