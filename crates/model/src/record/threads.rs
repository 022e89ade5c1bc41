//! Which threads of the hypervisor serve which disks, and by how many queues.

use api::kubevirt::v1::{Disk as SpecDisk, DomainSpec};
use wire::machine::{Disk, DiskBus};

use super::RecordError;

/// Most threads of a pool: a machine cannot use more, and each costs memory on the node.
const MOST: u32 = 64;

/// Gives disks their threads and queues; returns how many threads there are.
///
/// Only virtio disks can leave the hypervisor's main thread. A disk with `dedicatedIOThread` has one of its own. The
/// others share: one thread by the policy `shared` (and where only some disk asks for a thread of its own), up to two
/// for each processor by `auto`, all threads of the pool at once by `supplementalPool`.
pub(super) fn assign(domain: &DomainSpec, disks: &mut [Disk]) -> Result<u32, RecordError> {
    let processors = crate::resources::topology(domain).count();
    if domain.devices.block_multi_queue == Some(true) {
        for disk in disks.iter_mut().filter(|disk| disk.bus == DiskBus::Virtio) {
            disk.queues = processors;
        }
    }
    let dedicated = |disk: &Disk| {
        let asks = |spec: &&SpecDisk| spec.name == disk.name && spec.dedicated_io_thread == Some(true);
        domain.devices.disks.iter().any(|spec| asks(&spec))
    };
    let (own, shared): (Vec<&mut Disk>, Vec<&mut Disk>) =
        disks.iter_mut().filter(|disk| disk.bus == DiskBus::Virtio).partition(|disk| dedicated(disk));
    let count = |disks: &[&mut Disk]| u32::try_from(disks.len()).unwrap_or(u32::MAX);
    let pool = match domain.io_threads_policy.as_deref() {
        Some("supplementalPool") => {
            let threads =
                domain.io_threads.as_ref().and_then(|threads| threads.supplemental_pool_thread_count);
            let threads = threads.unwrap_or(1).max(1);
            if threads > MOST {
                return Err(RecordError::field(
                    "spec.domain.ioThreads.supplementalPoolThreadCount",
                    threads.to_string(),
                    format!("write at most {MOST}"),
                ));
            }
            for disk in own.into_iter().chain(shared) {
                disk.io_threads = (1..=threads).collect();
            }
            return Ok(threads);
        }
        Some("auto") => processors.saturating_mul(2).saturating_sub(count(&own)).max(1),
        Some("shared") => 1,
        _ if own.is_empty() => return Ok(0),
        _ => 1,
    };
    let pool = pool.min(count(&shared));
    for (disk, thread) in shared.into_iter().zip((1..=pool).cycle()) {
        disk.io_threads = vec![thread];
    }
    let threads = pool + count(&own);
    for (disk, thread) in own.into_iter().zip(pool + 1..) {
        disk.io_threads = vec![thread];
    }
    Ok(threads)
}
