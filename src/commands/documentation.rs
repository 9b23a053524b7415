//! What `COMMAND DOCS`, `COMMAND GETKEYS` and ACL categories know of the commands.

use std::ffi::CStr;

use redis_module::Context;

use super::gallery;
use crate::server::command_info::{Argument, ArgumentKind, Command, KeyUse, describe};

const KEY: Argument =
    Argument { name: c"key", kind: ArgumentKind::Key, token: None, optional: false };
const PAYLOAD: Argument =
    Argument { name: c"payload", kind: ArgumentKind::String, token: None, optional: false };
const MODEL: Argument =
    Argument { name: c"name", kind: ArgumentKind::String, token: Some(c"MODEL"), optional: true };
const TOP: Argument =
    Argument { name: c"count", kind: ArgumentKind::Integer, token: Some(c"TOP"), optional: true };
const TIMEOUT: Argument = Argument {
    name: c"timeout-milliseconds",
    kind: ArgumentKind::Integer,
    token: Some(c"TIMEOUT"),
    optional: true,
};
const WITH_META: Argument = Argument {
    name: c"withmeta",
    kind: ArgumentKind::Token,
    token: Some(c"WITHMETA"),
    optional: true,
};
const EXPIRATION: Argument = Argument {
    name: c"expiration",
    kind: ArgumentKind::OneOf(&[
        Argument {
            name: c"seconds",
            kind: ArgumentKind::Integer,
            token: Some(c"EX"),
            optional: false,
        },
        Argument {
            name: c"milliseconds",
            kind: ArgumentKind::Integer,
            token: Some(c"PX"),
            optional: false,
        },
    ]),
    token: None,
    optional: true,
};

const REFRESH: Argument = Argument {
    name: c"refresh",
    kind: ArgumentKind::Token,
    token: Some(c"REFRESH"),
    optional: true,
};
const NO_WAIT: Argument =
    Argument { name: c"nowait", kind: ArgumentKind::Token, token: Some(c"NOWAIT"), optional: true };
const HASHING_OR_INFERENCE: &CStr = c"O(N) with N the payload's length (hashing) if the result is stored, else the model's inference in the background";

static COMMANDS: [Command; 7] = [
    Command {
        name: c"image.recognize",
        summary: c"Returns what is in an image: the stored result, or else a computed one, which it stores.",
        complexity: HASHING_OR_INFERENCE,
        arity: -3,
        key: KeyUse::ReadWrite,
        categories: c"write slow",
        arguments: &[KEY, PAYLOAD, MODEL, TOP, EXPIRATION, REFRESH, TIMEOUT, NO_WAIT, WITH_META],
    },
    Command {
        name: c"image.recognize_auto",
        summary: c"The same under the key image:<sha256 of the payload>, which the server computes; not in a cluster.",
        complexity: HASHING_OR_INFERENCE,
        arity: -2,
        key: KeyUse::None,
        categories: c"write slow",
        arguments: &[PAYLOAD, MODEL, TOP, EXPIRATION, REFRESH, TIMEOUT, NO_WAIT, WITH_META],
    },
    Command {
        name: c"image.recognize_ro",
        summary: c"Returns what is in an image: the stored result, or else a computed one, which it does not store.",
        complexity: HASHING_OR_INFERENCE,
        arity: -3,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read slow",
        arguments: &[KEY, PAYLOAD, MODEL, TOP, TIMEOUT, WITH_META],
    },
    Command {
        name: c"image.get",
        summary: c"Returns the stored result of an image, or nil. Never computes one.",
        complexity: c"O(1)",
        arity: -2,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read",
        arguments: &[
            KEY,
            MODEL,
            Argument {
                name: c"digest",
                kind: ArgumentKind::String,
                token: Some(c"SHA256"),
                optional: true,
            },
            Argument {
                name: c"wait-milliseconds",
                kind: ArgumentKind::Integer,
                token: Some(c"WAIT"),
                optional: true,
            },
        ],
    },
    Command {
        name: c"image.wait",
        summary: c"Waits until something is known of at least one of the keys, then tells of each: result, error, pending or unknown.",
        complexity: c"O(N) with N the number of keys",
        arity: -4,
        key: KeyUse::ReadOnly { last: -3 },
        categories: c"read slow",
        arguments: &[
            Argument { kind: ArgumentKind::Keys, ..KEY },
            Argument { name: c"model", kind: ArgumentKind::String, token: None, optional: false },
            Argument {
                name: c"timeout-milliseconds",
                kind: ArgumentKind::Integer,
                token: None,
                optional: false,
            },
        ],
    },
    Command {
        name: c"image.models",
        summary: c"Lists the models of this node, and why one could not be loaded; or has it take over what has changed in their folders.",
        complexity: c"O(N) with N the number of models; a reload loads them in the background",
        arity: -1,
        key: KeyUse::None,
        categories: c"read slow",
        arguments: &[Argument {
            name: c"reload",
            kind: ArgumentKind::Token,
            token: Some(c"RELOAD"),
            optional: true,
        }],
    },
    Command {
        name: c"image.reload",
        summary: c"Takes over new, changed and removed models without a restart, as IMAGE.MODELS RELOAD does. Who may not run it may not run that either.",
        complexity: c"O(N) with N the number of models; they are loaded in the background",
        arity: 1,
        key: KeyUse::None,
        categories: c"admin dangerous slow",
        arguments: &[],
    },
];

/// Registers the documentation of every command; while the module loads.
pub fn register(ctx: &Context) -> Result<(), String> {
    COMMANDS.iter().chain(gallery::DOCUMENTATION).try_for_each(|command| {
        describe(ctx, command)
            .map_err(|reason| format!("{}: {reason}", command.name.to_string_lossy()))
    })
}
