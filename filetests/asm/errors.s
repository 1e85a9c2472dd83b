; test error
; What is wrong must be said where it stands.
r11 = 1 ; error:
r1 = r12 ; error:
r1 += ; error:
r1 = *(u24 *)(r2 + 0) ; error:
r1 = *(u32 *)(r2 + 40000) ; error:
if r1 ~ r2 goto +1 ; error:
goto nowhere ; error: nowhere

r1 = 99999999999 ; error:
r1 <<= 1 2 ; error:
.map ; error:
.nonsense x ; error:
