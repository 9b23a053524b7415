//! The server's log.

use std::ffi::{CStr, CString};
use std::ptr::null_mut;

pub fn notice(message: &str) {
    write(c"notice", message);
}

pub fn warning(message: &str) {
    write(c"warning", message);
}

/// The message is data for the format `%s`, never a format itself, and is cut at no NUL: what other
/// people wrote (a path, a parser's error) may hold anything.
fn write(level: &CStr, message: &str) {
    let clean: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Ok(text) = CString::new(clean) else { return };
    let log = api!(RedisModule_Log);
    // SAFETY: a null context is allowed (the line is then marked as a module's), all strings end in
    // NUL and outlive the call, and the format takes exactly the one string it gets.
    unsafe { log(null_mut(), level.as_ptr(), c"<image> %s".as_ptr(), text.as_ptr()) };
}
