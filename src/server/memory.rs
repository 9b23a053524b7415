//! The server's memory, for what is its data: `maxmemory`, INFO and eviction see it. Callable from any
//! thread, as the server's own lazy freeing is.

use std::alloc::Layout;
use std::os::raw::c_void;
use std::ptr::{NonNull, slice_from_raw_parts_mut};

use allocator_api2::alloc::{AllocError, Allocator};

/// The server's allocator, which aligns to 16 bytes at best: what needs more is given more room, and
/// the place where it begins stands just before it.
#[derive(Clone, Copy, Default)]
pub struct ServerMemory;

/// What every allocator of a server gives to a block of that size.
const PLAIN_ALIGN: usize = 8;

// SAFETY: a block stays where it is until it is given back; every copy of this (it has no state) may
// give it back, on any thread.
unsafe impl Allocator for ServerMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let allocate = api!(RedisModule_Alloc);
        let (size, align) = (layout.size().max(1), layout.align());
        if align <= PLAIN_ALIGN {
            // SAFETY: a size that is not 0. The server ends itself rather than return null.
            let block = unsafe { allocate(size) }.cast::<u8>();
            return block_of(block, layout.size());
        }
        let room = size.checked_add(align).ok_or(AllocError)?;
        // SAFETY: as above.
        let block = unsafe { allocate(room) }.cast::<u8>();
        if block.is_null() {
            return Err(AllocError);
        }
        // Of 1 to `align` bytes, and no fewer than 8 as the block is aligned to that.
        let offset = align - block as usize % align;
        // SAFETY: `offset + size <= room`, and there is room for a pointer before the place.
        let place = unsafe {
            let place = block.add(offset);
            place.cast::<*mut u8>().sub(1).write_unaligned(block);
            place
        };
        block_of(place, layout.size())
    }

    unsafe fn deallocate(&self, place: NonNull<u8>, layout: Layout) {
        let free = api!(RedisModule_Free);
        let place = place.as_ptr();
        // SAFETY: what `allocate` gave for the same layout; the block's own address stands before a
        // place that was aligned by hand.
        unsafe {
            let block = match layout.align() {
                align if align <= PLAIN_ALIGN => place,
                _ => place.cast::<*mut u8>().sub(1).read_unaligned(),
            };
            free(block.cast::<c_void>());
        }
    }
}

fn block_of(place: *mut u8, size: usize) -> Result<NonNull<[u8]>, AllocError> {
    NonNull::new(slice_from_raw_parts_mut(place, size)).ok_or(AllocError)
}
