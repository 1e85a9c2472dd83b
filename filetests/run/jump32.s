; test run on interp, proven, kernel
; Each 32-bit comparison looks at the lower halves only.

; run: data=zeros(64) program=eq => r0=0x103
; run: data=zeros(64) program=ne => r0=0xfc
; run: data=zeros(64) program=gt => r0=0xfe
; run: data=zeros(64) program=ge => r0=0x2
; run: data=zeros(64) program=lt => r0=0x1fd
; run: data=zeros(64) program=le => r0=0x101
; run: data=zeros(64) program=sgt => r0=0x1fd
; run: data=zeros(64) program=sge => r0=0x101
; run: data=zeros(64) program=slt => r0=0xfe
; run: data=zeros(64) program=sle => r0=0x2
; run: data=zeros(64) program=set => r0=0x3

.license "GPL"

.section "xdp"
.function eq
    r6 = -2
    r7 = 1
    r8 = 0x100000001 ll
    r9 = -2
    r0 = 0
    if w6 == w7 goto l0
    r0 |= 1
l0:
    if w7 == w6 goto l1
    r0 |= 2
l1:
    if w6 == w9 goto l2
    r0 |= 4
l2:
    if w7 == w8 goto l3
    r0 |= 8
l3:
    if w8 == w7 goto l4
    r0 |= 16
l4:
    if w6 == -2 goto l5
    r0 |= 32
l5:
    if w7 == 1 goto l6
    r0 |= 64
l6:
    if w8 == 1 goto l7
    r0 |= 128
l7:
    if w6 == 2147483647 goto l8
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
    if w6 != w7 goto l0
    r0 |= 1
l0:
    if w7 != w6 goto l1
    r0 |= 2
l1:
    if w6 != w9 goto l2
    r0 |= 4
l2:
    if w7 != w8 goto l3
    r0 |= 8
l3:
    if w8 != w7 goto l4
    r0 |= 16
l4:
    if w6 != -2 goto l5
    r0 |= 32
l5:
    if w7 != 1 goto l6
    r0 |= 64
l6:
    if w8 != 1 goto l7
    r0 |= 128
l7:
    if w6 != 2147483647 goto l8
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
    if w6 > w7 goto l0
    r0 |= 1
l0:
    if w7 > w6 goto l1
    r0 |= 2
l1:
    if w6 > w9 goto l2
    r0 |= 4
l2:
    if w7 > w8 goto l3
    r0 |= 8
l3:
    if w8 > w7 goto l4
    r0 |= 16
l4:
    if w6 > -2 goto l5
    r0 |= 32
l5:
    if w7 > 1 goto l6
    r0 |= 64
l6:
    if w8 > 1 goto l7
    r0 |= 128
l7:
    if w6 > 2147483647 goto l8
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
    if w6 >= w7 goto l0
    r0 |= 1
l0:
    if w7 >= w6 goto l1
    r0 |= 2
l1:
    if w6 >= w9 goto l2
    r0 |= 4
l2:
    if w7 >= w8 goto l3
    r0 |= 8
l3:
    if w8 >= w7 goto l4
    r0 |= 16
l4:
    if w6 >= -2 goto l5
    r0 |= 32
l5:
    if w7 >= 1 goto l6
    r0 |= 64
l6:
    if w8 >= 1 goto l7
    r0 |= 128
l7:
    if w6 >= 2147483647 goto l8
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
    if w6 < w7 goto l0
    r0 |= 1
l0:
    if w7 < w6 goto l1
    r0 |= 2
l1:
    if w6 < w9 goto l2
    r0 |= 4
l2:
    if w7 < w8 goto l3
    r0 |= 8
l3:
    if w8 < w7 goto l4
    r0 |= 16
l4:
    if w6 < -2 goto l5
    r0 |= 32
l5:
    if w7 < 1 goto l6
    r0 |= 64
l6:
    if w8 < 1 goto l7
    r0 |= 128
l7:
    if w6 < 2147483647 goto l8
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
    if w6 <= w7 goto l0
    r0 |= 1
l0:
    if w7 <= w6 goto l1
    r0 |= 2
l1:
    if w6 <= w9 goto l2
    r0 |= 4
l2:
    if w7 <= w8 goto l3
    r0 |= 8
l3:
    if w8 <= w7 goto l4
    r0 |= 16
l4:
    if w6 <= -2 goto l5
    r0 |= 32
l5:
    if w7 <= 1 goto l6
    r0 |= 64
l6:
    if w8 <= 1 goto l7
    r0 |= 128
l7:
    if w6 <= 2147483647 goto l8
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
    if w6 s> w7 goto l0
    r0 |= 1
l0:
    if w7 s> w6 goto l1
    r0 |= 2
l1:
    if w6 s> w9 goto l2
    r0 |= 4
l2:
    if w7 s> w8 goto l3
    r0 |= 8
l3:
    if w8 s> w7 goto l4
    r0 |= 16
l4:
    if w6 s> -2 goto l5
    r0 |= 32
l5:
    if w7 s> 1 goto l6
    r0 |= 64
l6:
    if w8 s> 1 goto l7
    r0 |= 128
l7:
    if w6 s> 2147483647 goto l8
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
    if w6 s>= w7 goto l0
    r0 |= 1
l0:
    if w7 s>= w6 goto l1
    r0 |= 2
l1:
    if w6 s>= w9 goto l2
    r0 |= 4
l2:
    if w7 s>= w8 goto l3
    r0 |= 8
l3:
    if w8 s>= w7 goto l4
    r0 |= 16
l4:
    if w6 s>= -2 goto l5
    r0 |= 32
l5:
    if w7 s>= 1 goto l6
    r0 |= 64
l6:
    if w8 s>= 1 goto l7
    r0 |= 128
l7:
    if w6 s>= 2147483647 goto l8
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
    if w6 s< w7 goto l0
    r0 |= 1
l0:
    if w7 s< w6 goto l1
    r0 |= 2
l1:
    if w6 s< w9 goto l2
    r0 |= 4
l2:
    if w7 s< w8 goto l3
    r0 |= 8
l3:
    if w8 s< w7 goto l4
    r0 |= 16
l4:
    if w6 s< -2 goto l5
    r0 |= 32
l5:
    if w7 s< 1 goto l6
    r0 |= 64
l6:
    if w8 s< 1 goto l7
    r0 |= 128
l7:
    if w6 s< 2147483647 goto l8
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
    if w6 s<= w7 goto l0
    r0 |= 1
l0:
    if w7 s<= w6 goto l1
    r0 |= 2
l1:
    if w6 s<= w9 goto l2
    r0 |= 4
l2:
    if w7 s<= w8 goto l3
    r0 |= 8
l3:
    if w8 s<= w7 goto l4
    r0 |= 16
l4:
    if w6 s<= -2 goto l5
    r0 |= 32
l5:
    if w7 s<= 1 goto l6
    r0 |= 64
l6:
    if w8 s<= 1 goto l7
    r0 |= 128
l7:
    if w6 s<= 2147483647 goto l8
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
    if w6 & w7 goto l0
    r0 |= 1
l0:
    if w7 & w6 goto l1
    r0 |= 2
l1:
    if w6 & w9 goto l2
    r0 |= 4
l2:
    if w7 & w8 goto l3
    r0 |= 8
l3:
    if w8 & w7 goto l4
    r0 |= 16
l4:
    if w6 & -2 goto l5
    r0 |= 32
l5:
    if w7 & 1 goto l6
    r0 |= 64
l6:
    if w8 & 1 goto l7
    r0 |= 128
l7:
    if w6 & 2147483647 goto l8
    r0 |= 256
l8:
    exit
