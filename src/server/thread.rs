//! How a thread of ours differs from a thread of the server's.

use std::io;
use std::mem::MaybeUninit;

/// Keeps every asynchronous signal away from the calling thread: they are for the server's main
/// thread. The synchronous ones (a crash) stay, so that the server can report it.
pub fn block_signals() {
    // SAFETY: `sigfillset` initialises the set; the calls touch the calling thread's mask only.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT] {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// Lets the calling thread run on every core, whatever `server-cpulist` says of the main thread.
/// Where this is not allowed, the thread stays where it is.
pub fn use_all_cores() {
    // SAFETY: an all-zero set is valid; `CPU_SET` stays within it; 0 means the calling thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for core in 0..libc::CPU_SETSIZE as usize {
            libc::CPU_SET(core, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Sets the calling thread's CPU priority, 0 (like the main thread) to 19 (last).
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: plain numbers; on Linux a thread's id sets the priority of that thread alone.
    let status = unsafe {
        let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, thread, nice)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the system's allocator keep what a worker frees, up to some megabytes a thread: it would give
/// the buffers of every photo back to the system and take them anew, a page fault for each 4 KB. The
/// server's own data is not concerned: it has jemalloc. (Where jemalloc is a shared library, as with
/// Debian's server, it is ours too, and this does nothing.)
#[cfg(target_env = "gnu")]
pub fn keep_freed_memory() {
    const MAPPED_FROM: libc::c_int = 16 << 20;
    const KEPT: libc::c_int = 32 << 20;
    // SAFETY: plain numbers; other threads may allocate meanwhile.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn keep_freed_memory() {}
