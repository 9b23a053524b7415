//! Where this module's own file lies.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use recognition::files::real_path;

/// The path of the shared library that this code was loaded from.
pub fn path() -> Option<PathBuf> {
    // SAFETY: a struct of plain pointers, for which zeros are valid.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address of a function of this library; `info` is written, and what it then points
    // to lives as long as the library.
    let name = unsafe {
        if libc::dladdr(path as *const libc::c_void, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    real_path(Path::new(OsStr::from_bytes(name.to_bytes()))).ok()
}
