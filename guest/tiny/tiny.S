# A guest of a few hundred bytes for the contract suite: a "Linux kernel" that never leaves real mode.
#
# It follows the Linux boot protocol just far enough that a loader puts its setup code at 0x90000 or 0x10000
# and jumps to it in real mode. It prints READY on the first serial port and then heeds:
#   the ACPI power button    powers off (ACPI S5)
#   q                        powers off
#   r                        resets through the keyboard controller
#   p                        tells a panic device that it has panicked (I/O port 0x505)
#   b                        prints 8192 lines of 64 characters
# and echoes every other character. Between the timer's ticks it halts.
#
# Build: as --32 tiny.S -o tiny.o && objcopy -O binary -j .text tiny.o tiny.bin

	.code16
	.text
	.globl _start
_start:
	.org 0x1f1
	.byte 1                  # setup sectors beside this one
	.word 0                  # root flags
	.long 1                  # size of the protected-mode part, in 16 bytes
	.word 0, 0xffff, 0       # RAM disk, video mode, root device
	.word 0xaa55
	.byte 0xeb, setup - 1f   # jump over the header
1:	.ascii "HdrS"
	.word 0x0203             # protocol version
	.long 0                  # real-mode switch
	.word 0, 0               # loader's segment, kernel version
	.byte 0                  # loader
	.byte 1                  # the rest is loaded high
	.word 0x8000             # where setup could move itself
	.long 0x100000           # the high part
	.long 0, 0               # RAM disk
	.long 0                  # boot sector
	.word 0                  # heap end
	.word 0
	.long 0                  # command line
	.long 0x7fffffff         # highest RAM disk address

setup:
	cli
	mov %cs, %ax             # CS is the loader's segment + 0x20
	mov %ax, %ds
	mov %ax, %ss
	mov $0x6000, %sp
	mov $0x0100, %ax         # enable the power button, clear its status
	mov $0x602, %dx
	out %ax, %dx
	mov $0x600, %dx
	out %ax, %dx
	mov $ready - 512, %si
2:	lodsb
	test %al, %al
	jz idle
	call put
	jmp 2b

idle:
	sti
	hlt
	mov $0x600, %dx
	in %dx, %ax
	test $0x0100, %ax
	jnz off
input:
	mov $0x3fd, %dx
	in %dx, %al
	test $1, %al
	jz idle
	mov $0x3f8, %dx
	in %dx, %al
	cmp $'q', %al
	je off
	cmp $'r', %al
	je reset
	cmp $'p', %al
	je panic
	cmp $'b', %al
	je babble
	call put
	jmp input

off:
	mov $0x604, %dx
	mov $0x2000, %ax
	out %ax, %dx
	jmp idle

reset:
	mov $0xfe, %al
	out %al, $0x64
	jmp idle

panic:
	mov $0x505, %dx
	mov $1, %al
	out %al, %dx
	jmp idle

babble:
	mov $8192, %bx
3:	mov $63, %cx
	mov %bl, %al
	and $15, %al
	add $'A', %al
4:	call put
	loop 4b
	mov $'\n', %al
	call put
	dec %bx
	jnz 3b
	jmp input

put:
	push %ax
	mov $0x3fd, %dx
5:	in %dx, %al
	test $0x20, %al
	jz 5b
	pop %ax
	mov $0x3f8, %dx
	out %al, %dx
	ret

ready:
	.asciz "READY\r\n"
	.org 1024 + 16
