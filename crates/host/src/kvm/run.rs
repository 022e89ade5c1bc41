//! Runs the timed guest and judges what it does.

use std::time::{Duration, Instant};

use kvm_bindings::{kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use super::Verdict;
use super::guest;

/// The loop takes well under a millisecond on a processor that executes it, and thirty where it is interpreted.
const LOOP_LIMIT: Duration = Duration::from_millis(5);

/// Granularity of guest memory.
const PAGE: usize = 4096;

/// Runs the guest. May hang on a broken KVM: the caller is a child that can be killed.
pub(super) fn verdict() -> Verdict {
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return absent(error.errno()),
    };
    if kvm.get_api_version() != 12 {
        let reason = format!("its API version is {} instead of 12", kvm.get_api_version());
        return Verdict::Suspect { reason };
    }
    match timed(&kvm) {
        Ok(verdict) => verdict,
        Err((step, error)) => Verdict::Suspect { reason: format!("{step} failed: {error}") },
    }
}

fn absent(errno: i32) -> Verdict {
    let (reason, remedy) = match errno {
        libc::ENOENT => (
            "there is no /dev/kvm",
            "enable virtualisation in the firmware and load kvm_intel or kvm_amd, or go on with emulation",
        ),
        libc::EACCES | libc::EPERM => {
            ("this user may not open /dev/kvm", "add the user to the group kvm, or go on with emulation")
        }
        _ => ("/dev/kvm cannot be opened", "look into the kernel's log, or go on with emulation"),
    };
    Verdict::Absent { reason: reason.to_owned(), remedy: remedy.to_owned() }
}

type Step<T> = Result<T, (&'static str, kvm_ioctls::Error)>;

fn timed(kvm: &Kvm) -> Step<Verdict> {
    let mut buffer = vec![0u8; guest::MEMORY + PAGE];
    let skipped = buffer.as_ptr().align_offset(PAGE);
    let memory = &mut buffer[skipped..skipped + guest::MEMORY];
    guest::load(memory);
    let machine = kvm.create_vm().map_err(|error| ("making a machine", error))?;
    machine.create_irq_chip().map_err(|error| ("making interrupt controllers", error))?;
    give_memory(&machine, memory)?;
    let mut processor = machine.create_vcpu(0).map_err(|error| ("making a processor", error))?;
    set_state(&processor)?;

    let begun = Instant::now();
    if let Some(strange) = run_until(&mut processor, guest::LOOPED)? {
        return Ok(Verdict::Suspect { reason: format!("64-bit code with an interrupt gate ended in {strange}") });
    }
    let looped = begun.elapsed();
    if looped > LOOP_LIMIT {
        return Ok(Verdict::Suspect {
            reason: format!("20,000 turns of a loop took {} ms; kernel code is interpreted", looped.as_millis()),
        });
    }
    if let Some(strange) = run_until(&mut processor, guest::INTERRUPTED)? {
        return Ok(Verdict::Suspect { reason: format!("a timer interrupt ended in {strange}") });
    }
    Ok(Verdict::Proven { loop_micros: u64::try_from(looped.as_micros()).unwrap_or(u64::MAX) })
}

#[allow(unsafe_code, reason = "the kernel is given memory by address")]
fn give_memory(machine: &VmFd, memory: &mut [u8]) -> Step<()> {
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: memory.len() as u64,
        userspace_addr: memory.as_mut_ptr() as u64,
    };
    // SAFETY: the memory is page-aligned, belongs to the caller's buffer, and outlives the machine: both are dropped
    // when `timed` returns, the machine first.
    unsafe { machine.set_user_memory_region(region) }.map_err(|error| ("giving the machine memory", error))
}

/// 64-bit mode with paging, as a kernel would have set it up.
fn set_state(processor: &VcpuFd) -> Step<()> {
    let mut special = processor.get_sregs().map_err(|error| ("reading the processor's state", error))?;
    let segment = |selector: u16, kind: u8, long: u8| kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: kind,
        present: 1,
        dpl: 0,
        db: 1 - long,
        s: 1,
        l: long,
        g: 1,
        ..kvm_segment::default()
    };
    special.cs = segment(guest::CODE, 11, 1);
    let data = segment(guest::DATA, 3, 0);
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data);
    special.gdt.base = guest::DESCRIPTORS;
    special.gdt.limit = guest::DESCRIPTORS_LIMIT;
    special.idt.base = guest::INTERRUPT_TABLE;
    special.idt.limit = guest::INTERRUPT_TABLE_LIMIT;
    special.cr3 = guest::PAGE_TABLES;
    special.cr4 = 1 << 5; // physical address extension
    special.cr0 = 1 << 31 | 1 << 5 | 1 << 4 | 1; // paging, numeric error, extension type, protection
    special.efer = 1 << 10 | 1 << 8; // long mode active, enabled
    processor.set_sregs(&special).map_err(|error| ("entering 64-bit mode", error))?;
    let registers = kvm_regs { rip: guest::ENTRY, rsp: guest::STACK, rflags: 2, ..kvm_regs::default() };
    processor.set_regs(&registers).map_err(|error| ("setting the entry point", error))
}

/// Runs until the guest reports `wanted`; returns what came instead.
fn run_until(processor: &mut VcpuFd, wanted: u8) -> Step<Option<String>> {
    loop {
        match processor.run() {
            Ok(VcpuExit::IoOut(guest::PORT, [byte])) if *byte == wanted => return Ok(None),
            Ok(VcpuExit::Intr) => {}
            Ok(VcpuExit::InternalError) => return Ok(Some("an internal error of KVM".to_owned())),
            Ok(VcpuExit::Shutdown) => return Ok(Some("a triple fault".to_owned())),
            Ok(other) => return Ok(Some(format!("{other:?}"))),
            Err(error) if error.errno() == libc::EINTR => {}
            Err(error) => return Err(("running the processor", error)),
        }
    }
}
