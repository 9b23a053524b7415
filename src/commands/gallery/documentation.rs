//! What `COMMAND DOCS`, `COMMAND GETKEYS` and ACL categories know of the commands on galleries.

use std::ffi::CStr;

use crate::server::command_info::{Argument, ArgumentKind, Command, KeyUse};

const fn required(name: &'static CStr, kind: ArgumentKind) -> Argument {
    Argument { name, kind, token: None, optional: false }
}

const fn option(name: &'static CStr, kind: ArgumentKind, token: &'static CStr) -> Argument {
    Argument { name, kind, token: Some(token), optional: true }
}

const fn with_token(name: &'static CStr, kind: ArgumentKind, token: &'static CStr) -> Argument {
    Argument { name, kind, token: Some(token), optional: false }
}

const GALLERY: Argument = required(c"gallery", ArgumentKind::Key);
const SUBJECT: Argument = required(c"subject", ArgumentKind::String);
const PAYLOAD: Argument = required(c"payload", ArgumentKind::String);
const VECTOR: Argument = with_token(c"vector", ArgumentKind::String, c"VECTOR");
const TIMEOUT: Argument = option(c"timeout-milliseconds", ArgumentKind::Integer, c"TIMEOUT");
const THRESHOLD: Argument = option(c"threshold", ArgumentKind::Double, c"THRESHOLD");
const SPACE: &CStr = c"space";
const MODEL: &CStr = c"model";

pub static DOCUMENTATION: &[Command] = &[
    Command {
        name: c"image.enroll",
        summary: c"Adds a sample of a subject to a gallery, from a picture or as an embedding.",
        complexity: c"O(1) for an embedding; a picture costs the model's inference and a search in the background",
        arity: -4,
        key: KeyUse::ReadWrite,
        categories: c"write slow",
        arguments: &[
            GALLERY,
            SUBJECT,
            required(
                c"sample",
                ArgumentKind::OneOf(&[
                    required(
                        c"picture",
                        ArgumentKind::Block(&[
                            PAYLOAD,
                            option(MODEL, ArgumentKind::String, c"MODEL"),
                            option(c"largest", ArgumentKind::Token, c"LARGEST"),
                            option(c"force", ArgumentKind::Token, c"FORCE"),
                            TIMEOUT,
                        ]),
                    ),
                    required(
                        c"embedding",
                        ArgumentKind::Block(&[
                            VECTOR,
                            with_token(MODEL, ArgumentKind::String, c"MODEL"),
                            option(SPACE, ArgumentKind::String, c"SPACE"),
                            option(c"sample-id", ArgumentKind::Integer, c"SAMPLE"),
                        ]),
                    ),
                ]),
            ),
        ],
    },
    Command {
        name: c"image.identify",
        summary: c"Tells who of a gallery is in a picture, or whose an embedding is.",
        complexity: c"O(N) with N the gallery's samples, in the background; a picture that was not seen lately costs the model's inference",
        arity: -3,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read slow",
        arguments: &[
            GALLERY,
            required(c"query", ArgumentKind::OneOf(&[PAYLOAD, VECTOR])),
            option(c"count", ArgumentKind::Integer, c"TOP"),
            THRESHOLD,
            TIMEOUT,
        ],
    },
    Command {
        name: c"image.identify_stored",
        summary: c"Tells who of a gallery is in the picture whose result a key holds, or nil if it holds none that can be compared.",
        complexity: c"O(N) with N the gallery's samples, in the background",
        arity: -3,
        key: KeyUse::ReadOnly { last: 1 },
        categories: c"read slow",
        arguments: &[
            GALLERY,
            required(c"key", ArgumentKind::Key),
            option(c"count", ArgumentKind::Integer, c"TOP"),
            THRESHOLD,
            TIMEOUT,
        ],
    },
    Command {
        name: c"image.verify",
        summary: c"Tells whether a picture, or an embedding, shows one subject of a gallery.",
        complexity: c"O(N) with N the gallery's samples, in the background; a picture that was not seen lately costs the model's inference",
        arity: -4,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read slow",
        arguments: &[
            GALLERY,
            SUBJECT,
            required(c"query", ArgumentKind::OneOf(&[PAYLOAD, VECTOR])),
            THRESHOLD,
            TIMEOUT,
        ],
    },
    Command {
        name: c"image.forget",
        summary: c"Removes a subject, or one of its samples, from a gallery and overwrites the embeddings.",
        complexity: c"O(N) with N the subject's samples",
        arity: -3,
        key: KeyUse::ReadWrite,
        categories: c"write slow",
        arguments: &[
            GALLERY,
            SUBJECT,
            Argument { optional: true, ..required(c"sample-id", ArgumentKind::Integer) },
        ],
    },
    Command {
        name: c"image.subjects",
        summary: c"Lists the subjects of a gallery with their samples, and embeddings if wanted, page by page.",
        complexity: c"O(N) with N the subjects of the page",
        arity: -2,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read slow",
        arguments: &[
            GALLERY,
            Argument { optional: true, ..required(c"cursor", ArgumentKind::Integer) },
            option(c"count", ArgumentKind::Integer, c"COUNT"),
            option(c"withvectors", ArgumentKind::Token, c"WITHVECTORS"),
        ],
    },
    Command {
        name: c"image.gallery",
        summary: c"Tells what a gallery is bound to and how much it holds.",
        complexity: c"O(1)",
        arity: 2,
        key: KeyUse::ReadOnly { last: 0 },
        categories: c"read",
        arguments: &[GALLERY],
    },
    Command {
        name: c"image.bind",
        summary: c"Makes an empty gallery. It is what an append-only file begins a gallery with.",
        complexity: c"O(1)",
        arity: -8,
        key: KeyUse::ReadWrite,
        categories: c"write slow",
        arguments: &[
            GALLERY,
            with_token(MODEL, ArgumentKind::String, c"MODEL"),
            with_token(SPACE, ArgumentKind::String, c"SPACE"),
            with_token(c"count", ArgumentKind::Integer, c"DIMENSIONS"),
            option(c"sample-id", ArgumentKind::Integer, c"NEXT"),
        ],
    },
];
