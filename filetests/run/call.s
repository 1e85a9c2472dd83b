; test run on interp, kernel
; Functions have frames of their own and keep r6 to r9; arguments travel in r1 to r5.

; run: data=zeros(64) program=twice => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=keeps => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=deep => refused="malformed object: section ELF header at offset 0x0: not an ELF file"
; run: data=zeros(64) program=looped => refused="malformed object: section ELF header at offset 0x0: not an ELF file"

.license "GPL"

.section "xdp"
.function twice
    r1 = 20
    r2 = 1
    call add
    r1 = r0
    r2 = 21
    call add
    exit

.section "xdp"
.function keeps
    r6 = 6
    r7 = 70
    *(u64 *)(r10 - 8) = 800
    r1 = 0
    r2 = 0
    call clobber
    r0 = r6
    r0 += r7
    r1 = *(u64 *)(r10 - 8)
    r0 += r1
    exit

.section "xdp"
.function deep
    r1 = 1
    call one
    exit

; The callback counts into the caller's stack through the context that it is given.
.section "xdp"
.function looped
    *(u64 *)(r10 - 8) = 0
    r1 = 10
    r2 = func count ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r1 = *(u64 *)(r10 - 8)
    r0 *= 100
    r0 += r1
    exit

.section ".text"
.function static add
    r0 = r1
    r0 += r2
    exit

.function static clobber
    r6 = 1
    r7 = 2
    r8 = 3
    r9 = 4
    *(u64 *)(r10 - 8) = 5
    r0 = 0
    exit

.function static one
    r1 <<= 1
    call two
    r0 += 1
    exit

.function static two
    r1 <<= 1
    call three
    r0 += 2
    exit

.function static three
    r0 = r1
    exit

.function static count
    r3 = *(u64 *)(r2 + 0)
    r3 += r1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    if r1 == 7 goto stop
    exit
stop:
    r0 = 1
    exit
