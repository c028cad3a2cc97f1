//! How much memory the code under test takes: counted, since a limit on the process would find only the worst.
#![expect(unsafe_code, reason = "an allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the thread that asks has allocated and not yet freed. C libraries are not counted.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Neither has a destructor nor allocates, so that an allocator may use them.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn took(bytes: usize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    // What another thread allocated may be freed here: such a count is far beyond any real one.
    if held < usize::MAX / 2 {
        MOST.set(MOST.get().max(held));
    }
}

fn gave(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub(bytes));
}

// SAFETY: all calls go on to `System` as they came, and what it answers is handed back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller keeps to the same contract, and `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // For a moment there may be both.
        took(size);
        gave(layout.size());
        // SAFETY: the caller keeps to the same contract, and `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// How many bytes this thread holds, against another time: a difference alone means something.
pub(super) fn held() -> usize {
    HELD.get()
}

/// Does `work`; gives what it gave, and the most that it held at one time beyond what there was before.
pub(super) fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, MOST.get().wrapping_sub(before))
}
