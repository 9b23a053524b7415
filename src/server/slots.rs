//! Which slots of a cluster are on their way to this node.

use redis_module::{CallOptionsBuilder, CallReply, CallResult, Context, RedisString};

/// Whether this node is importing the slot of a key. Asked only when a write was refused, as the answer
/// is a search through `CLUSTER NODES`.
pub fn is_importing(ctx: &Context, key: &RedisString) -> bool {
    let Some(CallReply::I64(slot)) = cluster(ctx, &[b"KEYSLOT", key.as_slice()]) else {
        return false;
    };
    let Some(CallReply::String(nodes)) = cluster(ctx, &[b"NODES"]) else { return false };
    imports(&String::from_utf8_lossy(nodes.as_bytes()), slot.to_i64())
}

/// None if the server refuses, as it does where the command was renamed.
fn cluster(ctx: &Context, arguments: &[&[u8]]) -> Option<CallReply<'static>> {
    let options = CallOptionsBuilder::new().errors_as_replies().build();
    let reply: CallResult<'static> = ctx.call_ext("CLUSTER", &options, arguments);
    reply.ok()
}

/// Whether the line of the node itself says `[slot-<-id of the other node]`.
fn imports(nodes: &str, slot: i64) -> bool {
    let is_myself = |line: &&str| {
        line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"))
    };
    let sign = format!("[{slot}-<-");
    nodes
        .lines()
        .find(is_myself)
        .is_some_and(|line| line.split(' ').skip(8).any(|word| word.starts_with(&sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
        07c3 127.0.0.1:30004@31004 slave e7d1 0 1426238317239 4 connected\n\
        67ed 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922 [77-<-e7d1]\n\
        e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [93-<-67ed] [5-><-67ed]\n";

    #[test]
    fn only_what_this_node_imports_counts() {
        assert!(imports(NODES, 93));
        for slot in [9, 3, 5, 77, 100] {
            assert!(!imports(NODES, slot), "{slot}");
        }
        assert!(!imports("", 93));
    }
}
