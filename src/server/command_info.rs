//! Tells the server what a command is: `COMMAND DOCS`, its key specification, its ACL categories.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};

use redis_module::{Context, raw};

/// A command's documentation.
pub struct Command {
    pub name: &'static CStr,
    pub summary: &'static CStr,
    pub complexity: &'static CStr,
    pub arity: i32,
    pub key: KeyUse,
    /// ACL categories, for servers that let a module set them.
    pub categories: &'static CStr,
    pub arguments: &'static [Argument],
}

/// What the command does with its keys, which begin with its first argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    None,
    /// One key.
    ReadWrite,
    /// `last` is the place of the last key behind the first, or counted from the end of the arguments
    /// if it is negative: -1 is the last argument.
    ReadOnly {
        last: i32,
    },
}

pub struct Argument {
    pub name: &'static CStr,
    pub kind: ArgumentKind,
    /// The word that introduces the argument.
    pub token: Option<&'static CStr>,
    pub optional: bool,
}

#[derive(Clone, Copy)]
pub enum ArgumentKind {
    Key,
    /// One or more of them.
    Keys,
    String,
    Integer,
    Double,
    /// The token alone.
    Token,
    OneOf(&'static [Argument]),
    /// Several that belong together.
    Block(&'static [Argument]),
}

const SINCE: &CStr = c"0.1.0";

static LAYOUT: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// Registers the documentation of a command that exists already; only while the module loads.
pub fn describe(ctx: &Context, command: &Command) -> Result<(), &'static str> {
    let get_command = api!(RedisModule_GetCommand);
    let set_info = api!(RedisModule_SetCommandInfo);
    // SAFETY: while loading, with a name that ends in NUL.
    let handle = unsafe { get_command(ctx.ctx, command.name.as_ptr()) };
    if handle.is_null() {
        return Err("the server does not know the command");
    }
    let mut key_specs = key_specs(command.key);
    // The server copies what it reads; the lists of sub-arguments must live until then.
    let mut kept = Vec::new();
    let mut arguments = argument_list(command.arguments, &mut kept);
    let info = raw::RedisModuleCommandInfo {
        version: &LAYOUT,
        summary: command.summary.as_ptr(),
        complexity: command.complexity.as_ptr(),
        since: SINCE.as_ptr(),
        history: null_mut(),
        tips: null(),
        arity: command.arity,
        key_specs: key_specs.as_mut_ptr(),
        args: arguments.as_mut_ptr(),
    };
    // SAFETY: every list ends with a zeroed element, every string in NUL, and all of them outlive
    // the call, which copies them.
    if unsafe { set_info(handle, &info) } != raw::REDISMODULE_OK as c_int {
        return Err("the server refused the documentation");
    }
    set_categories(handle, command.categories);
    Ok(())
}

/// Redis 7.0 knows no categories for a module's commands.
fn set_categories(handle: *mut raw::RedisModuleCommand, categories: &CStr) {
    // SAFETY: as in `api!`; the function is newer than what the module demands.
    let Some(set) = (unsafe { raw::RedisModule_SetCommandACLCategories }) else { return };
    // SAFETY: the handle of a command of this module, while loading.
    unsafe { set(handle, categories.as_ptr()) };
}

fn key_specs(key: KeyUse) -> [raw::RedisModuleCommandKeySpec; 2] {
    // SAFETY: a struct of numbers, pointers and unions of numbers; zeros mean the end of the list.
    let mut specs: [raw::RedisModuleCommandKeySpec; 2] = unsafe { std::mem::zeroed() };
    let (flags, last) = match key {
        KeyUse::None => return specs,
        KeyUse::ReadWrite => {
            let access = raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE;
            (raw::REDISMODULE_CMD_KEY_RW | access, 0)
        }
        KeyUse::ReadOnly { last } => {
            (raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS, last)
        }
    };
    specs[0].flags = u64::from(flags);
    specs[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    specs[0].bs.index.pos = 1;
    specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    specs[0].fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
        lastkey: last,
        keystep: 1,
        limit: 0,
    };
    specs
}

fn argument_list(
    arguments: &[Argument],
    kept: &mut Vec<Vec<raw::RedisModuleCommandArg>>,
) -> Vec<raw::RedisModuleCommandArg> {
    let mut list: Vec<_> = arguments.iter().map(|argument| to_raw(argument, kept)).collect();
    // SAFETY: a struct of numbers and pointers; zeros mean the end of the list.
    list.push(unsafe { std::mem::zeroed() });
    list
}

fn to_raw(
    argument: &Argument,
    kept: &mut Vec<Vec<raw::RedisModuleCommandArg>>,
) -> raw::RedisModuleCommandArg {
    let mut subargs = null_mut();
    let type_ = match argument.kind {
        ArgumentKind::Key | ArgumentKind::Keys => {
            raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY
        }
        ArgumentKind::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        ArgumentKind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        ArgumentKind::Double => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE,
        ArgumentKind::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
        ArgumentKind::OneOf(parts) | ArgumentKind::Block(parts) => {
            let mut list = argument_list(parts, kept);
            subargs = list.as_mut_ptr();
            // Moving the Vec does not move what it points to.
            kept.push(list);
            match argument.kind {
                ArgumentKind::OneOf(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                _ => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            }
        }
    };
    let is_key = matches!(argument.kind, ArgumentKind::Key | ArgumentKind::Keys);
    let mut flags = 0;
    if argument.optional {
        flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
    }
    if matches!(argument.kind, ArgumentKind::Keys) {
        flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
    }
    raw::RedisModuleCommandArg {
        name: argument.name.as_ptr(),
        type_,
        key_spec_index: if is_key { 0 } else { -1 },
        token: argument.token.map_or(null::<c_char>(), CStr::as_ptr),
        summary: null(),
        since: null(),
        flags: flags as c_int,
        deprecated_since: null(),
        subargs,
        display_text: null(),
    }
}
