//! Threads of the module, and how they differ from threads of the server.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::Builder;
pub use std::thread::JoinHandle;

/// Decoders and engines recurse; the default of 2 MiB is for programs that trust their input.
const STACK_SIZE: usize = 16 << 20;

/// Starts a thread of the module's.
#[expect(clippy::disallowed_methods, reason = "this is the one place where threads are started")]
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(move || {
        block_signals();
        use_all_cores();
        body();
    })
}

/// Whether threads may be given another priority and other cores.
static MAY_SCHEDULE: AtomicBool = AtomicBool::new(true);

/// Learns whether scheduling is allowed, before any thread of ours begins. Where a filter of system calls is at work it may
/// kill the process for it (systemd's does, and Debian's unit of redis-server forbids `@resources`); so a child tries first.
pub fn try_scheduling() -> bool {
    let filtered = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line == "Seccomp:\t2"));
    let may = !filtered || survives_scheduling();
    MAY_SCHEDULE.store(may, Relaxed);
    may
}

fn survives_scheduling() -> bool {
    // SAFETY: plain system calls. The child calls only what may be called after a fork, and ends without running anything
    // of the server's; the parent waits for this child alone.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            // A death here is expected, and no crash to keep an image of.
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
            libc::_exit(0);
        }
        let mut status = 0;
        while child > 0 && libc::waitpid(child, &mut status, 0) == -1 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return false;
            }
        }
        child > 0 && libc::WIFEXITED(status)
    }
}

/// Keeps every asynchronous signal away from the calling thread: they are for the server's main
/// thread. The synchronous ones (a crash) stay, so that the server can report it.
fn block_signals() {
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
fn use_all_cores() {
    if !MAY_SCHEDULE.load(Relaxed) {
        return;
    }
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
    if !MAY_SCHEDULE.load(Relaxed) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
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
