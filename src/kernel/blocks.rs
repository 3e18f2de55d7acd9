//! New numbers, made by all threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// `len` numbers, made block by block on all threads: `fill` gets the place of each block and its numbers,
/// all 0.
pub(crate) fn in_blocks(len: usize, block: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(len);
    let blocks = numbers.spare_capacity_mut()[..len].par_chunks_mut(block.max(1));
    blocks.enumerate().for_each(|(index, unwritten)| {
        unwritten.fill(MaybeUninit::new(0.0));
        // SAFETY: all of them have just been written.
        fill(index * block, unsafe { &mut *(std::ptr::from_mut(unwritten) as *mut [f32]) });
    });
    // SAFETY: there is room for them, and every block was written.
    unsafe { numbers.set_len(len) };
    numbers
}

/// The beginning of an output that threads share; each writes a part of its own.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub(super) *mut T);
// SAFETY: where it is read or written, the part is argued to be one thread's own.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// `index` lies in the output.
    pub(super) unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: by the promise above.
        unsafe { self.0.add(index) }
    }
}
