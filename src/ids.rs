//! Numbers that tell requests, jobs and calls apart. None is ever given out twice.

/// Tells one request from another. Of two requests the larger number is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Tells one job from another: the number of the request that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub RequestId);

/// Tells one pending call to a gallery from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);
