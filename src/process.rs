//! This process and the operating system: how much memory it has taken and may still take, whether there is
//! something to read, which signal it outlives, and which it explains.

use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

/// The name of the processor, where the system says it.
#[must_use]
pub fn processor() -> Option<String> {
    let about = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'))?;
    Some(name.trim().to_string())
}

/// Bytes this process may still take: the machine's available memory, and what is left of its control group's
/// limit and of its own ones (`ulimit -v`, `ulimit -d`). `None` where the system does not say.
#[must_use]
pub fn available_memory() -> Option<usize> {
    let machine = kibibytes("/proc/meminfo", "MemAvailable:")?;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current");
    let group = limit.zip(used).map(|(limit, used)| limit.saturating_sub(used));
    let most = group.map_or(machine, |group| group.min(machine));
    Some(own_limit().map_or(most, |(_, left)| left.min(most)))
}

/// The command that set the limit of this process which leaves least memory, and the bytes that it leaves;
/// `None` without any.
#[must_use]
pub fn own_limit() -> Option<(&'static str, usize)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let left = |(name, used, command): &(&str, &str, &'static str)| {
        let limit = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let limit: usize = limit.split_whitespace().next()?.parse().ok()?;
        let taken = kibibytes("/proc/self/status", used)? + UNPLANNED;
        Some((*command, limit.saturating_sub(taken)))
    };
    let kinds = [("Max address space", "VmSize:", ADDRESS_SPACE), ("Max data size", "VmData:", "ulimit -d")];
    kinds.iter().filter_map(left).min_by_key(|(_, left)| *left)
}

/// Bytes of such a limit that are gone without being planned: stacks of threads, and what the allocator holds
/// but cannot use.
const UNPLANNED: usize = 32 << 20;

/// The command that limits the address space of a process.
const ADDRESS_SPACE: &str = "ulimit -v";

/// The most memory that this process has held since it began, or since [`forget_peak_memory`], in bytes.
/// `None` where the system does not say.
#[must_use]
pub fn peak_memory() -> Option<usize> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// Begins [`peak_memory`] anew, and says whether that was possible.
pub fn forget_peak_memory() -> bool {
    // 5 is the kernel's number for "reset the peak resident set size".
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Waits until stdin has something to read, for `wait` at most.
///
/// # Errors
/// When stdin is a terminal that has gone away, which a reader would find to be readable for ever.
#[cfg(target_os = "linux")]
pub fn wait_for_input(wait: Duration) -> io::Result<()> {
    let mut stdin = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: it is handed one entry, which lives until it returns.
    let found = unsafe { libc::poll(&raw mut stdin, 1, wait.as_millis().try_into().unwrap_or(i32::MAX)) };
    match found {
        1.. if stdin.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0 => {
            Err(io::Error::other("it has gone away"))
        }
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            // A signal, such as one that says that the terminal has another size.
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

/// Where terminals cannot be waited for by every system, whoever reads one waits.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn wait_for_input(_wait: Duration) -> io::Result<()> {
    Ok(())
}

/// Has a write beyond the limit on the size of files (`ulimit -f`) fail with an error that can be told, where
/// the signal that comes with it would end the process without a word.
pub fn outlive_file_size_limit() {
    // SAFETY: the disposition of a signal is changed to "ignored", before any other thread runs.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Has a process whose mapped file is cut short, or lies on a disk that fails, say so as it ends (exit code
/// 1), where the signal would end it without a word. What it has stored stays.
pub fn explain_lost_mappings() {
    #[cfg(unix)]
    extern "C" fn explain(_signal: libc::c_int) {
        const WHY: &[u8] =
            b"niah: a GGUF file was cut short, or cannot be read any more, while it was in use; \
            what is done is kept. Let no other program write the file, download it again, and give the same \
            command once more\n";
        // SAFETY: both calls may be made within a signal, and the bytes are constant.
        unsafe {
            libc::write(libc::STDERR_FILENO, WHY.as_ptr().cast(), WHY.len());
            libc::_exit(1);
        }
    }
    // SAFETY: a handler is set that makes no other calls than the two above, before any other thread runs.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGBUS, explain as extern "C" fn(libc::c_int) as libc::sighandler_t);
    }
}

/// Under a limit on address space (`ulimit -v`) has all threads share one arena of memory: each would set 64
/// MiB of the limit aside, whatever it uses. With glibc alone.
pub fn fit_into_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if own_limit().is_some_and(|(command, _)| command == ADDRESS_SPACE) {
        share_one_arena();
    }
}

/// Has all threads share one arena of memory, where each would keep what it has freed. For many threads that
/// wait most of the time; call it before any other thread runs. With glibc alone.
pub fn share_one_arena() {
    // SAFETY: a setting of the allocator is changed, before any other thread runs.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Has every large block of memory go back to the system as soon as it is free: by itself the allocator keeps
/// blocks of a size that was freed before. With glibc alone.
pub fn give_back_large_blocks() {
    // SAFETY: a setting of the allocator is changed, to what it begins with.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Gives memory that is free back to the system, behind a task that took much more than what comes then. With
/// glibc alone.
pub fn give_back_memory() {
    // SAFETY: the allocator locks its arenas, and touches none of what is in use.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has a child end with this process, also when it is killed and can tell nobody: what the child writes would
/// be in the way of a new start. On Linux alone.
pub fn end_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let ask = || match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: between fork and exec nothing but one system call happens.
        unsafe {
            command.pre_exec(ask);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// A line of a file that says `name  number kB`, in bytes.
fn kibibytes(path: &str, name: &str) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_holds_what_was_taken_and_forgets_it_when_told() {
        let taken = 64 << 20;
        let Some(before) = peak_memory() else { return };
        assert!(before > 1 << 20, "{before} bytes");
        if !forget_peak_memory() {
            return;
        }
        let base = peak_memory().unwrap();
        drop(std::hint::black_box(vec![1u8; taken]));
        let peak = peak_memory().unwrap();
        assert!(peak >= base + taken / 2, "{base} bytes, then {peak}");
    }

    #[cfg(unix)]
    #[test]
    fn a_mapped_file_that_is_cut_short_ends_its_process_with_words() {
        const FILE: &str = "NIAH_TEST_OF_LOST_MAPPINGS";
        if let Some(path) = std::env::var_os(FILE) {
            explain_lost_mappings();
            let file = fs::File::options().read(true).write(true).open(path).unwrap();
            // SAFETY: the bytes that are cut off end this process, which is what is tested.
            let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
            file.set_len(0).unwrap();
            panic!("byte {} of a file without any", std::hint::black_box(&map)[0]);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [7; 100]).unwrap();
        let this = std::thread::current().name().unwrap().to_string();
        let mut child = Command::new(std::env::current_exe().unwrap());
        let ended = child.args(["--exact", &this]).env(FILE, file.path()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains("was cut short") && told.contains("what is done is kept"), "{told}");
    }
}
