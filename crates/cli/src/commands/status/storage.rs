//! What a server tells of its memory and of what it writes to disk.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Storage {
    /// Bytes; 0: no limit, nothing is evicted. `None`, here and below: not told.
    pub maxmemory: Option<u64>,
    pub maxmemory_policy: Option<String>,
    pub append_only: Option<bool>,
    /// As `CONFIG GET save` has them: `3600 1 300 100`; empty without any. Asked only where it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_points: Option<String>,
    /// The last write to the append-only file, or the last save, failed.
    pub append_failed: bool,
    pub save_failed: bool,
}

impl Storage {
    /// Of the sections `memory` and `persistence` of INFO.
    pub fn read(memory: &BTreeMap<String, String>, disk: &BTreeMap<String, String>) -> Storage {
        let failed = |name: &str| disk.get(name).is_some_and(|status| status == "err");
        Storage {
            maxmemory: memory.get("maxmemory").and_then(|bytes| bytes.parse().ok()),
            maxmemory_policy: memory.get("maxmemory_policy").cloned(),
            append_only: disk.get("aof_enabled").map(|flag| flag == "1"),
            save_points: None,
            append_failed: failed("aof_last_write_status"),
            save_failed: failed("rdb_last_bgsave_status"),
        }
    }
}
