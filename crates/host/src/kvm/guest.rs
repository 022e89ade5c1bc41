//! The trial guest: what kernels do first, with a letter on port 0x402 after each step.
//!
//! It begins in 32-bit protected mode without paging, at 1 MiB, with flat segments. That is also how a
//! Multiboot loader starts it, which is how its own test runs it under emulation.
#![allow(unsafe_code, reason = "the guest is machine code")]

use std::arch::global_asm;

/// Where the guest is loaded and entered (behind its header).
pub(super) const BASE: u64 = 0x10_0000;

global_asm!(
    ".pushsection .rodata.ironclad_kvm_guest, \"a\", @progbits",
    ".balign 16",
    ".globl ironclad_kvm_guest_start",
    ".globl ironclad_kvm_guest_entry",
    ".globl ironclad_kvm_guest_end",
    "ironclad_kvm_guest_start:",
    // The Multiboot header, with addresses.
    ".long 0x1BADB002, 0x00010000, 0xE4514FFE",
    ".long {base}, {base}, 0, {base} + 0x40000",
    ".long {base} + ironclad_kvm_guest_entry - ironclad_kvm_guest_start",
    ".code32",
    "ironclad_kvm_guest_entry:",
    "cli",
    "mov esp, {stack}",
    "mov edx, 0x402",
    // L: a loop in kernel mode.
    "mov ecx, 20000",
    "2: dec ecx",
    "jnz 2b",
    "mov al, 0x4c",
    "out dx, al",
    // P: paging, with 4 MiB pages.
    "mov dword ptr [{tables}], 0x83",
    "mov eax, {tables}",
    "mov cr3, eax",
    "mov eax, cr4",
    "or eax, 0x10",
    "mov cr4, eax",
    "mov eax, cr0",
    "or eax, 0x80000000",
    "mov cr0, eax",
    "jmp 3f",
    "3: mov al, 0x50",
    "out dx, al",
    "mov eax, cr0",
    "and eax, 0x7fffffff",
    "mov cr0, eax",
    // B: long mode. Four tables: the first 4 MiB, and the page of the local interrupt controller.
    "mov dword ptr [{tables} + 0x1000], {tables} + 0x2000 + 3",
    "mov dword ptr [{tables} + 0x2000], {tables} + 0x3000 + 3",
    "mov dword ptr [{tables} + 0x2018], {tables} + 0x4000 + 3",
    "mov dword ptr [{tables} + 0x3000], 0x83",
    "mov dword ptr [{tables} + 0x3008], 0x200083",
    "mov dword ptr [{tables} + 0x4fb8], 0xfee00093",
    "mov eax, cr4",
    "or eax, 0x20",
    "mov cr4, eax",
    "mov eax, {tables} + 0x1000",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    "mov edx, 0x402",
    "mov eax, cr0",
    "or eax, 0x80000000",
    "mov cr0, eax",
    // Addresses inside the guest are written byte by byte: they are not where the linker puts them.
    // lgdt [address]
    ".byte 0x0f, 0x01, 0x15",
    ".long {base} + 40f - ironclad_kvm_guest_start",
    // jmp 8:address, to the 64-bit code segment
    ".byte 0xea",
    ".long {base} + 4f - ironclad_kvm_guest_start",
    ".short 8",
    ".code64",
    "4: mov ax, 16",
    "mov ds, ax",
    "mov es, ax",
    "mov ss, ax",
    "mov al, 0x42",
    "out dx, al",
    // I: a gate, and the return from it.
    "mov edi, {tables} + 0x5000 + 0x40 * 16",
    // mov eax, address
    ".byte 0xb8",
    ".long {base} + 20f - ironclad_kvm_guest_start",
    "call 30f",
    "mov edi, {tables} + 0x5000 + 0x41 * 16",
    // mov eax, address
    ".byte 0xb8",
    ".long {base} + 21f - ironclad_kvm_guest_start",
    "call 30f",
    // mov eax, address
    ".byte 0xb8",
    ".long {base} + 41f - ironclad_kvm_guest_start",
    "lidt [rax]",
    "int 0x40",
    // T: the local timer, with the old controllers masked.
    "mov al, 0xff",
    "out 0x21, al",
    "out 0xa1, al",
    "mov ebx, 0xfee00000",
    "mov dword ptr [rbx + 0xf0], 0x1ff",
    "mov dword ptr [rbx + 0x3e0], 0xb",
    "mov dword ptr [rbx + 0x320], 0x41",
    "mov dword ptr [rbx + 0x380], 0x100000",
    "sti",
    "hlt",
    "cli",
    // D: back again. Port 0xf4 ends an emulator.
    "mov al, 0x44",
    "out dx, al",
    "out 0xf4, al",
    "5: hlt",
    "jmp 5b",
    // The gates' handlers.
    "20: mov al, 0x49",
    "out dx, al",
    "iretq",
    "21: mov al, 0x54",
    "out dx, al",
    "mov dword ptr [rbx + 0xb0], 0",
    "iretq",
    // Writes the gate at rdi to the handler at rax.
    "30: mov [rdi], ax",
    "mov word ptr [rdi + 2], 8",
    "mov word ptr [rdi + 4], 0x8e00",
    "shr eax, 16",
    "mov [rdi + 6], ax",
    "ret",
    ".balign 8",
    "40: .short 23",
    ".long {base} + 50f - ironclad_kvm_guest_start",
    ".balign 8",
    "41: .short 0x41f",
    ".quad {tables} + 0x5000",
    ".balign 8",
    "50: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "ironclad_kvm_guest_end:",
    ".popsection",
    base = const BASE,
    stack = const BASE + 0x3_0000,
    tables = const BASE + 0x1_0000,
);

unsafe extern "C" {
    static ironclad_kvm_guest_start: u8;
    static ironclad_kvm_guest_entry: u8;
    static ironclad_kvm_guest_end: u8;
}

/// Returns the guest's image, to be loaded at [`BASE`].
pub(super) fn payload() -> &'static [u8] {
    let (start, end) = (&raw const ironclad_kvm_guest_start, &raw const ironclad_kvm_guest_end);
    // SAFETY: both symbols bound one read-only section that the assembler above made.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// Returns where the guest is entered.
pub(super) fn entry() -> u64 {
    let (start, entry) = (&raw const ironclad_kvm_guest_start, &raw const ironclad_kvm_guest_entry);
    BASE + (entry.addr() - start.addr()) as u64
}
