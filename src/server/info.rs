//! The module's part of INFO. It is called in crash reports too: what fills it takes no lock that a
//! crash could leave taken.

use std::ffi::CString;
use std::os::raw::c_int;

use once_cell::sync::OnceCell;
use redis_module::{Context, raw};

use super::panics::guard;

static FILL: OnceCell<fn(&Section)> = OnceCell::new();

/// The section that is being written, `# image`.
pub struct Section(*mut raw::RedisModuleInfoCtx);

pub fn register(ctx: &Context, fill: fn(&Section)) {
    FILL.get_or_init(|| fill);
    raw::register_info_function(ctx.ctx, Some(on_info));
}

unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    guard("INFO", (), || {
        if raw::add_info_section(ctx, None) == raw::Status::Ok
            && let Some(fill) = FILL.get()
        {
            fill(&Section(ctx));
        }
    });
}

impl Section {
    pub fn number(&self, name: &str, value: u64) {
        raw::add_info_field_unsigned_long_long(self.0, name, value);
    }

    pub fn decimal(&self, name: &str, value: f64) {
        self.text(name, &format!("{value:.3}"));
    }

    pub fn text(&self, name: &str, value: &str) {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return };
        let add = api!(RedisModule_InfoAddFieldCString);
        // SAFETY: in an INFO callback, with strings that end in NUL.
        unsafe { add(self.0, name.as_ptr(), value.as_ptr()) };
    }
}
