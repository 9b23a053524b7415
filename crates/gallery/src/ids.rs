//! How samples and subjects are told apart.

/// Tells one sample of a gallery from another. Master and replicas share it; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub u64);

impl SampleId {
    /// Every id is exact where numbers are doubles, as in JSON.
    pub const MAX: SampleId = SampleId((1 << 53) - 1);
}

/// Tells one subject of a gallery from another, in this process: one that was forgotten resolves to
/// nothing, also after its name was enrolled again. Replicas have ids of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub(super) u64);
