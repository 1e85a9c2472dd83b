; test run on interp, proven, kernel
; Each 64-bit comparison, by register and immediate: a bit for each that does not jump.

; run: data=zeros(64) program=eq => r0=0x19b
; run: data=zeros(64) program=ne => r0=0x64
; run: data=zeros(64) program=gt => r0=0x6e
; run: data=zeros(64) program=ge => r0=0xa
; run: data=zeros(64) program=lt => r0=0x1f5
; run: data=zeros(64) program=le => r0=0x191
; run: data=zeros(64) program=sgt => r0=0x16d
; run: data=zeros(64) program=sge => r0=0x109
; run: data=zeros(64) program=slt => r0=0xf6
; run: data=zeros(64) program=sle => r0=0x92
; run: data=zeros(64) program=set => r0=0x3

.license "GPL"

.section "xdp"
.function eq
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 == r7 goto l0
    r0 |= 1
l0:
    if r7 == r6 goto l1
    r0 |= 2
l1:
    if r6 == r9 goto l2
    r0 |= 4
l2:
    if r7 == r8 goto l3
    r0 |= 8
l3:
    if r8 == r7 goto l4
    r0 |= 16
l4:
    if r6 == -2 goto l5
    r0 |= 32
l5:
    if r7 == 1 goto l6
    r0 |= 64
l6:
    if r8 == 1 goto l7
    r0 |= 128
l7:
    if r6 == 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function ne
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 != r7 goto l0
    r0 |= 1
l0:
    if r7 != r6 goto l1
    r0 |= 2
l1:
    if r6 != r9 goto l2
    r0 |= 4
l2:
    if r7 != r8 goto l3
    r0 |= 8
l3:
    if r8 != r7 goto l4
    r0 |= 16
l4:
    if r6 != -2 goto l5
    r0 |= 32
l5:
    if r7 != 1 goto l6
    r0 |= 64
l6:
    if r8 != 1 goto l7
    r0 |= 128
l7:
    if r6 != 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function gt
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 > r7 goto l0
    r0 |= 1
l0:
    if r7 > r6 goto l1
    r0 |= 2
l1:
    if r6 > r9 goto l2
    r0 |= 4
l2:
    if r7 > r8 goto l3
    r0 |= 8
l3:
    if r8 > r7 goto l4
    r0 |= 16
l4:
    if r6 > -2 goto l5
    r0 |= 32
l5:
    if r7 > 1 goto l6
    r0 |= 64
l6:
    if r8 > 1 goto l7
    r0 |= 128
l7:
    if r6 > 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function ge
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 >= r7 goto l0
    r0 |= 1
l0:
    if r7 >= r6 goto l1
    r0 |= 2
l1:
    if r6 >= r9 goto l2
    r0 |= 4
l2:
    if r7 >= r8 goto l3
    r0 |= 8
l3:
    if r8 >= r7 goto l4
    r0 |= 16
l4:
    if r6 >= -2 goto l5
    r0 |= 32
l5:
    if r7 >= 1 goto l6
    r0 |= 64
l6:
    if r8 >= 1 goto l7
    r0 |= 128
l7:
    if r6 >= 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function lt
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 < r7 goto l0
    r0 |= 1
l0:
    if r7 < r6 goto l1
    r0 |= 2
l1:
    if r6 < r9 goto l2
    r0 |= 4
l2:
    if r7 < r8 goto l3
    r0 |= 8
l3:
    if r8 < r7 goto l4
    r0 |= 16
l4:
    if r6 < -2 goto l5
    r0 |= 32
l5:
    if r7 < 1 goto l6
    r0 |= 64
l6:
    if r8 < 1 goto l7
    r0 |= 128
l7:
    if r6 < 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function le
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 <= r7 goto l0
    r0 |= 1
l0:
    if r7 <= r6 goto l1
    r0 |= 2
l1:
    if r6 <= r9 goto l2
    r0 |= 4
l2:
    if r7 <= r8 goto l3
    r0 |= 8
l3:
    if r8 <= r7 goto l4
    r0 |= 16
l4:
    if r6 <= -2 goto l5
    r0 |= 32
l5:
    if r7 <= 1 goto l6
    r0 |= 64
l6:
    if r8 <= 1 goto l7
    r0 |= 128
l7:
    if r6 <= 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function sgt
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 s> r7 goto l0
    r0 |= 1
l0:
    if r7 s> r6 goto l1
    r0 |= 2
l1:
    if r6 s> r9 goto l2
    r0 |= 4
l2:
    if r7 s> r8 goto l3
    r0 |= 8
l3:
    if r8 s> r7 goto l4
    r0 |= 16
l4:
    if r6 s> -2 goto l5
    r0 |= 32
l5:
    if r7 s> 1 goto l6
    r0 |= 64
l6:
    if r8 s> 1 goto l7
    r0 |= 128
l7:
    if r6 s> 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function sge
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 s>= r7 goto l0
    r0 |= 1
l0:
    if r7 s>= r6 goto l1
    r0 |= 2
l1:
    if r6 s>= r9 goto l2
    r0 |= 4
l2:
    if r7 s>= r8 goto l3
    r0 |= 8
l3:
    if r8 s>= r7 goto l4
    r0 |= 16
l4:
    if r6 s>= -2 goto l5
    r0 |= 32
l5:
    if r7 s>= 1 goto l6
    r0 |= 64
l6:
    if r8 s>= 1 goto l7
    r0 |= 128
l7:
    if r6 s>= 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function slt
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 s< r7 goto l0
    r0 |= 1
l0:
    if r7 s< r6 goto l1
    r0 |= 2
l1:
    if r6 s< r9 goto l2
    r0 |= 4
l2:
    if r7 s< r8 goto l3
    r0 |= 8
l3:
    if r8 s< r7 goto l4
    r0 |= 16
l4:
    if r6 s< -2 goto l5
    r0 |= 32
l5:
    if r7 s< 1 goto l6
    r0 |= 64
l6:
    if r8 s< 1 goto l7
    r0 |= 128
l7:
    if r6 s< 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function sle
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 s<= r7 goto l0
    r0 |= 1
l0:
    if r7 s<= r6 goto l1
    r0 |= 2
l1:
    if r6 s<= r9 goto l2
    r0 |= 4
l2:
    if r7 s<= r8 goto l3
    r0 |= 8
l3:
    if r8 s<= r7 goto l4
    r0 |= 16
l4:
    if r6 s<= -2 goto l5
    r0 |= 32
l5:
    if r7 s<= 1 goto l6
    r0 |= 64
l6:
    if r8 s<= 1 goto l7
    r0 |= 128
l7:
    if r6 s<= 2147483647 goto l8
    r0 |= 256
l8:
    exit

.section "xdp"
.function set
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if r6 & r7 goto l0
    r0 |= 1
l0:
    if r7 & r6 goto l1
    r0 |= 2
l1:
    if r6 & r9 goto l2
    r0 |= 4
l2:
    if r7 & r8 goto l3
    r0 |= 8
l3:
    if r8 & r7 goto l4
    r0 |= 16
l4:
    if r6 & -2 goto l5
    r0 |= 32
l5:
    if r7 & 1 goto l6
    r0 |= 64
l6:
    if r8 & 1 goto l7
    r0 |= 128
l7:
    if r6 & 2147483647 goto l8
    r0 |= 256
l8:
    exit
