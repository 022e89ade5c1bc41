//! What the shim inherited.

/// Marks every descriptor beyond standard error as closed on execution, so that nothing of the Pod's maker
/// reaches a hypervisor.
#[allow(unsafe_code, reason = "no safe wrapper of close_range(2) marks instead of closing")]
pub(super) fn close_on_execution() {
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call closes nothing; it sets a flag on descriptors, whoever owns
    // them, and touches no memory. On a kernel without it (before 5.11) it fails and changes nothing.
    unsafe {
        libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
    }
}
