//! The smallest KVM machine that runs the trial guest: one processor, 4 MiB, the kernel's interrupt controllers.

use std::fmt::Display;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

use super::guest;

/// The only version there ever was of the stable interface.
const API_VERSION: i32 = 12;
const MEMORY: usize = 4 << 20;
/// Granularity of guest memory.
const PAGE: usize = 4096;
/// Port that the guest reports on; others are ignored.
const REPORT_PORT: u16 = 0x402;
/// Where older Intel processors keep a task state segment of KVM's.
const TSS_ADDRESS: usize = 0xfffb_d000;

/// A machine with the guest loaded. The order of the fields is the order in which they must go.
pub(super) struct Machine {
    processor: VcpuFd,
    _machine: VmFd,
    _memory: Vec<u8>,
}

impl Machine {
    /// Makes a machine that is about to enter `image`.
    pub(super) fn new(image: &[u8]) -> Result<Self, String> {
        let kvm = Kvm::new().map_err(failed("it cannot be opened"))?;
        let version = kvm.get_api_version();
        if version != API_VERSION {
            return Err(format!("it speaks version {version} of the interface instead of {API_VERSION}"));
        }
        let machine = kvm.create_vm().map_err(failed("it makes no machine"))?;
        // Other processors than older Intel ones refuse it.
        let _ = machine.set_tss_address(TSS_ADDRESS);
        machine.create_irq_chip().map_err(failed("it makes no interrupt controllers"))?;
        let memory = give_memory(&machine, image)?;
        let processor = machine.create_vcpu(0).map_err(failed("it makes no processor"))?;
        let features = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(failed("it does not tell its features"))?;
        processor.set_cpuid2(&features).map_err(failed("it takes no features"))?;
        enter(&processor).map_err(failed("it takes no registers"))?;
        Ok(Self { processor, _machine: machine, _memory: memory })
    }

    /// Runs the guest until it reports, and returns what.
    pub(super) fn run_to_output(&mut self) -> Result<u8, String> {
        loop {
            match self.processor.run() {
                Ok(VcpuExit::IoOut(REPORT_PORT, [letter])) => return Ok(*letter),
                Ok(VcpuExit::IoOut(..) | VcpuExit::Intr) => {}
                Ok(VcpuExit::Shutdown) => return Err("the processor shut down".into()),
                Ok(VcpuExit::InternalError) => return Err("KVM gave up with an internal error".into()),
                Ok(other) => return Err(format!("KVM stopped with {other:?}")),
                Err(error) if error.errno() == libc::EINTR => {}
                Err(error) => return Err(format!("the processor does not run: {error}")),
            }
        }
    }
}

fn failed<E: Display>(what: &'static str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Gives the machine memory that holds `image`; the memory must outlive the machine.
#[allow(unsafe_code, reason = "the kernel is given memory by address")]
fn give_memory(machine: &VmFd, image: &[u8]) -> Result<Vec<u8>, String> {
    let mut buffer = vec![0u8; MEMORY + PAGE];
    let skipped = buffer.as_ptr().align_offset(PAGE);
    let memory = &mut buffer[skipped..skipped + MEMORY];
    let at = guest::BASE as usize;
    memory.get_mut(at..at + image.len()).ok_or("the trial guest is too large")?.copy_from_slice(image);
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: MEMORY as u64,
        userspace_addr: memory.as_mut_ptr() as u64,
    };
    // SAFETY: page-aligned memory of the buffer, which the caller keeps longer than the machine and which does not
    // move when the vector does.
    unsafe { machine.set_user_memory_region(region) }.map_err(failed("it takes no memory"))?;
    Ok(buffer)
}

/// Sets the processor to 32-bit protected mode with flat segments, at the guest's entry.
fn enter(processor: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut special = processor.get_sregs()?;
    let data = kvm_segment {
        limit: u32::MAX,
        selector: 16,
        type_: 3,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    special.cs = kvm_segment { selector: 8, type_: 11, ..data };
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data);
    // Protection, and the extension type that every processor has set.
    special.cr0 = 0x11;
    processor.set_sregs(&special)?;
    processor.set_regs(&kvm_regs { rip: guest::entry(), rflags: 2, ..kvm_regs::default() })
}
