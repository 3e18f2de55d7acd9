//! The system's allocator, which says so when memory is out.
//!
//! Rust ends a process with an abort and a backtrace when an allocation fails, as under `ulimit -v`. What a
//! run needs is checked before it begins ([`crate::plan::MemoryPlan`]); this is for the rest: tokenizers,
//! templates, reports.

use std::alloc::{GlobalAlloc, Layout, System};

/// [`System`], but an allocation that fails ends the process with a message and the exit code of a run that
/// failed.
pub struct Allocator;

// SAFETY: every call is one of the system's allocator, whose results are handed on unless they are null, when
// nothing is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        given(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        out_of_memory(bytes);
    }
    pointer
}

#[cfg(unix)]
fn out_of_memory(bytes: usize) {
    use std::fmt::Write;

    let mut message = Message { text: [0; 256], length: 0 };
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the system fills in the limit that it is given a place for.
    let limited =
        unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0 && limit.rlim_cur != libc::RLIM_INFINITY;
    let _ = write!(message, "niah: out of memory: {bytes} bytes more are not available");
    if limited {
        let _ = write!(message, " under ulimit -v {}", limit.rlim_cur / 1024);
    }
    let _ = message.write_str(
        "; what was finished is kept: use less memory, or a higher limit, and repeat the command\n",
    );
    // SAFETY: the bytes are the message's own. Nothing may allocate here, nor wait for what another thread
    // holds.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.text.as_ptr().cast(), message.length);
        libc::_exit(1)
    }
}

#[cfg(not(unix))]
fn out_of_memory(_bytes: usize) {}

/// A text that takes no memory.
#[cfg(unix)]
struct Message {
    text: [u8; 256],
    length: usize,
}

#[cfg(unix)]
impl std::fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let place = &mut self.text[self.length..];
        let length = text.len().min(place.len());
        place[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}
