//! Fetching what is computed with next: rows are too short for the processor to see where they go on.

/// Bytes from what is computed with to what is fetched meanwhile.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

/// Fetches what stands behind so many bytes, a line after another.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn behind<T: ?Sized>(here: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in (0..size_of_val(here)).step_by(64) {
        let ahead = std::ptr::from_ref(here).cast::<i8>().wrapping_add(AHEAD + line);
        // SAFETY: fetching ahead reads nothing that the program sees and may pass the end of the matrix.
        #[allow(unused_unsafe, reason = "newer compilers take it for safe")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(ahead)
        };
    }
}

/// Other processors see it themselves.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn behind<T: ?Sized>(_here: &T) {}
