//! Where a gallery's memory comes from, and what it weighs there.

use allocator_api2::alloc::Allocator;

/// Where a gallery's memory comes from. Its search threads give back memory too.
pub trait Memory: Allocator + Clone + Default + Send + Sync + 'static {}

impl<A: Allocator + Clone + Default + Send + Sync + 'static> Memory for A {}

/// What an allocation of so many bytes takes: the size classes of jemalloc, four to a doubling,
/// which other allocators come near to.
pub(super) fn allocated(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    bytes.next_multiple_of(bytes.next_power_of_two() / 8)
}
