//! What the server refuses, told by the text of its error: the API gives nothing else.

use crate::error::ErrorCode;

/// Why the server did not run a command that the module called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Used memory is above `maxmemory`.
    Memory,
    /// The server is a replica.
    Role,
    /// The key's slot is on another node, or on its way there.
    Slot,
    /// The cluster is down as a whole.
    ClusterDown,
    /// Something else that has a code: the server's own (`NOREPLICAS`), or one of this module's.
    Code(ErrorCode),
    Other,
}

impl Refusal {
    pub fn parse(text: &str) -> Refusal {
        let code = text.split(' ').next().unwrap_or_default();
        match code {
            "OOM" => Refusal::Memory,
            "READONLY" => Refusal::Role,
            "MOVED" | "ASK" | "TRYAGAIN" => Refusal::Slot,
            "CLUSTERDOWN" => Refusal::ClusterDown,
            // Commands that a module calls have no codes of their own for these two (Redis 7.0 to 8.2).
            _ if text.contains("non local") => Refusal::Slot,
            _ if text.contains("cluster is down") => Refusal::ClusterDown,
            _ => ErrorCode::PASSED_ON
                .into_iter()
                .find(|known| known.as_str() == code)
                .map_or(Refusal::Other, Refusal::Code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let refusals = [
            ("OOM command not allowed", Refusal::Memory),
            ("READONLY You can't write", Refusal::Role),
            ("ERR Attempted to access a non local key in a cluster node", Refusal::Slot),
            ("MOVED 93 127.0.0.1:30002", Refusal::Slot),
            (
                "ERR Can not execute a command 'hset' while the cluster is down",
                Refusal::ClusterDown,
            ),
            ("NOREPLICAS Not enough good replicas", Refusal::Code(ErrorCode::NoReplicas)),
            ("STALE the gallery was made anew", Refusal::Code(ErrorCode::Stale)),
            ("ERR whatever", Refusal::Other),
            ("", Refusal::Other),
        ];
        for (text, refusal) in refusals {
            assert_eq!(Refusal::parse(text), refusal, "{text}");
        }
    }
}
