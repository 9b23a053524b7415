//! Has a process killed if it makes certain system calls, as service managers do.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The part of systemd's `SystemCallFilter=~@resources` that matters here.
const FORBIDDEN: [i64; 2] = [libc::SYS_setpriority, libc::SYS_sched_setaffinity];

pub fn forbid_scheduling(command: &mut Command) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut program = vec![step(LOAD, 0, 0)]; // the number of the call
    for (i, number) in FORBIDDEN.into_iter().enumerate() {
        program.push(step(JUMP_IF_EQUAL, (FORBIDDEN.len() - i) as u8, number as u32));
    }
    program.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(RETURN, 0, libc::SECCOMP_RET_KILL_PROCESS));
    let install = move || {
        let filter =
            libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        // SAFETY: the program outlives the calls, which only read it; both may be made after a fork.
        let status = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter)
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: what runs in the child allocates nothing and takes no lock.
    unsafe { command.pre_exec(install) };
}
