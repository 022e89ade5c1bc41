//! The guest that is timed: 64-bit code with paging, an interrupt gate, and the local APIC's timer.

/// Bytes of guest memory.
pub(super) const MEMORY: usize = 2 << 20;
/// Port that the guest reports on (the first serial port's).
pub(super) const PORT: u16 = 0x3f8;
/// Reported after the loop.
pub(super) const LOOPED: u8 = b'L';
/// Reported after the timer interrupt.
pub(super) const INTERRUPTED: u8 = b'T';

pub(super) const PAGE_TABLES: u64 = 0x1000;
pub(super) const DESCRIPTORS: u64 = 0x6000;
pub(super) const DESCRIPTORS_LIMIT: u16 = 3 * 8 - 1;
pub(super) const INTERRUPT_TABLE: u64 = 0x5000;
pub(super) const INTERRUPT_TABLE_LIMIT: u16 = 0xfff;
pub(super) const ENTRY: u64 = 0x1_0000;
pub(super) const STACK: u64 = 0x2_0000;

/// Selector of the code segment.
pub(super) const CODE: u16 = 8;
/// Selector of the data segment.
pub(super) const DATA: u16 = 16;

const SOFTWARE_VECTOR: u64 = 0x40;
const TIMER_VECTOR: u64 = 0x41;
const SOFTWARE_HANDLER: u64 = 0x1_1000;
const TIMER_HANDLER: u64 = 0x1_1100;

/// Software interrupt, 20,000 turns of a loop, report; one shot of the timer, wait for it, report; halt.
const PROGRAM: &[u8] = &[
    0xcd, 0x40, // int 0x40
    0xb9, 0x20, 0x4e, 0x00, 0x00, // mov ecx, 20000
    0xff, 0xc9, // dec ecx
    0x75, 0xfc, // jnz -4
    0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, LOOPED, // mov al, 'L'
    0xee, // out dx, al
    0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0xfee00000 (local APIC)
    0xc7, 0x83, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // spurious vector: enable
    0xc7, 0x83, 0xe0, 0x03, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, // divide by 1
    0xc7, 0x83, 0x20, 0x03, 0x00, 0x00, 0x41, 0x00, 0x00, 0x00, // timer: one shot, vector 0x41
    0xc7, 0x83, 0x80, 0x03, 0x00, 0x00, 0xa0, 0x86, 0x01, 0x00, // initial count: 100,000
    0xfb, // sti
    0xf4, // hlt
    0xb0, INTERRUPTED, // mov al, 'T'
    0xee, // out dx, al
    0xf4, // hlt
];

/// iretq
const SOFTWARE: &[u8] = &[0x48, 0xcf];

/// mov dword [rbx+0xb0], 0 (end of interrupt); iretq
const TIMER: &[u8] = &[0xc7, 0x83, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x48, 0xcf];

/// Writes the guest into its memory.
pub(super) fn load(memory: &mut [u8]) {
    let mut quad = |at: u64, value: u64| {
        let at = at as usize;
        memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE: u64 = 1 << 7;
    let (directory_pointers, low, high) = (PAGE_TABLES + 0x1000, PAGE_TABLES + 0x2000, PAGE_TABLES + 0x3000);
    quad(PAGE_TABLES, directory_pointers | PRESENT_WRITABLE);
    quad(directory_pointers, low | PRESENT_WRITABLE);
    quad(directory_pointers + 3 * 8, high | PRESENT_WRITABLE);
    quad(low, LARGE | PRESENT_WRITABLE);
    // The page of the local APIC.
    quad(high + ((0xfee0_0000_u64 >> 21) & 511) * 8, 0xfee0_0000 | LARGE | PRESENT_WRITABLE);
    quad(DESCRIPTORS + 8, 0x00af_9b00_0000_ffff);
    quad(DESCRIPTORS + 16, 0x00cf_9300_0000_ffff);
    for (vector, handler) in [(SOFTWARE_VECTOR, SOFTWARE_HANDLER), (TIMER_VECTOR, TIMER_HANDLER)] {
        // A present interrupt gate: offset in two halves around selector and type.
        let gate = (handler & 0xffff) | u64::from(CODE) << 16 | 0x8e << 40 | (handler >> 16 & 0xffff) << 48;
        quad(INTERRUPT_TABLE + vector * 16, gate);
    }
    for (at, code) in [(ENTRY, PROGRAM), (SOFTWARE_HANDLER, SOFTWARE), (TIMER_HANDLER, TIMER)] {
        let at = at as usize;
        memory[at..at + code.len()].copy_from_slice(code);
    }
}
