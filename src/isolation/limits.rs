//! Limits that the operating system holds a process to.

/// Limits this process to so much memory, and its remains after a crash to nothing.
#[cfg(unix)]
pub(super) fn limit_memory(bytes: u64) {
    set(libc::RLIMIT_AS, bytes);
    set(libc::RLIMIT_CORE, 0);
}

/// How much of this memory a process that this one starts can have: its own limit holds for it too.
#[cfg(unix)]
pub(super) fn memory_within_limits(bytes: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit that lives through the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    if known { bytes.min(limit.rlim_max) } else { bytes }
}

/// Allows so many more seconds of computing, from now on.
#[cfg(unix)]
pub(super) fn limit_time(seconds: u64) {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call.
    let known = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) } == 0;
    if let (true, Ok(used)) = (known, u64::try_from(now.tv_sec)) {
        set(libc::RLIMIT_CPU, used.saturating_add(seconds).saturating_add(1));
    }
}

/// Moves a soft limit, never above the hard one; what the system does not support stays as it is.
#[cfg(unix)]
fn set(resource: LimitOf, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to an rlimit that lives through the calls.
    unsafe {
        if libc::getrlimit(resource, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(value as libc::rlim_t);
            libc::setrlimit(resource, &raw const limit);
        }
    }
}

#[cfg(all(unix, target_os = "linux", target_env = "gnu"))]
type LimitOf = libc::__rlimit_resource_t;
#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
type LimitOf = libc::c_int;

#[cfg(not(unix))]
pub(super) fn limit_memory(_bytes: u64) {}

#[cfg(not(unix))]
pub(super) fn memory_within_limits(bytes: u64) -> u64 {
    bytes
}

#[cfg(not(unix))]
pub(super) fn limit_time(_seconds: u64) {}
