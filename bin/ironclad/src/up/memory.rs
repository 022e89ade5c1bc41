//! What the allocator keeps for later.
//!
//! glibc gives almost every thread a heap of its own (up to eight a processor, malloc(3)), and each keeps what was needed at
//! some moment: by a start, a long list, a burst of writes. So there are as many heaps as threads that compute, and free
//! pages go back to the system now and then. Other allocators are left as they are.

use std::sync::Arc;
use std::time::Duration;

use effects::Clock;

/// After this, a start is over: the controllers have seen what there is.
const FIRST: Duration = Duration::from_secs(5);
/// Between two times; each looks at all that is free.
const EVERY: Duration = Duration::from_secs(60);

/// Bounds the number of heaps. Those that threads have already stay.
pub(super) fn bound() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "no crate wraps mallopt(3)")]
    {
        let heaps = i32::try_from(super::THREADS).unwrap_or(i32::MAX);
        // SAFETY: it takes no pointers, and sets a number that is read when a thread gets its heap.
        let is_bound = unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) } == 1;
        if !is_bound {
            tracing::debug!("the allocator has as many heaps as it likes");
        }
    }
}

/// Gives free pages back to the system, now and then, for ever.
pub(super) async fn give_back(clock: Arc<dyn Clock>) {
    clock.sleep(FIRST).await;
    loop {
        // Holds the locks of the heaps for milliseconds: not on a thread that answers.
        drop(tokio::task::spawn_blocking(trim).await);
        clock.sleep(EVERY).await;
    }
}

fn trim() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "no crate wraps malloc_trim(3)")]
    // SAFETY: it takes no pointers, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
