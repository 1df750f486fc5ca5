//! The peers of the pool bench, each made to do the same: hand out 1 KiB that can be written.

extern crate alloc;

use core::cell::RefCell;
use core::hint::black_box;
use core::mem::MaybeUninit;

use alloc::sync::Arc;

use turbopump_core::pool::{BorrowedRef, Heap, Layout, Lease, Pool};
use turbopump_std::memory::{self, BufferPool, STANDARD_CLASSES};

/// Bytes of a buffer.
pub(crate) const LEN: usize = 1_024;
/// Buffers in pools that are told how many.
const COUNT: usize = 256;

/// What a pool hands out where it hands out values.
pub(crate) type Bytes = Box<[u8; LEN]>;

fn bytes() -> Bytes {
    Box::new([0; LEN])
}

/// Somewhere buffers can be got from. All of them live as long as the program.
pub(crate) trait Peer: Sync + Sized {
    const NAME: &'static str;
    /// Goes back when it is dropped.
    type Buffer;

    fn get(&'static self) -> Self::Buffer;

    /// Writes the first byte and the last.
    fn touch(buffer: &mut Self::Buffer);
}

/// The whole way of a buffer.
#[inline(always)]
pub(crate) fn cycle<P: Peer>(peer: &'static P) {
    let mut buffer = peer.get();
    P::touch(&mut buffer);
}

/// Only the bytes are hidden from the compiler: handles may stay in registers.
#[inline(always)]
fn touch_slice(bytes: &mut [u8]) {
    if let [first, .., last] = black_box(bytes) {
        *first = 1;
        *last = 2;
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Our pool on std: with counters, choice of the class, and a cache per thread.
pub(crate) struct Turbopump(BufferPool);

impl Turbopump {
    pub(crate) fn leaked() -> &'static Self {
        let pool = BufferPool::standard();
        pool.warm_up(COUNT);
        leak(Self(pool))
    }
}

impl Peer for Turbopump {
    const NAME: &'static str = "turbopump";
    type Buffer = memory::Lease;

    #[inline(always)]
    fn get(&'static self) -> memory::Lease {
        self.0.acquire(black_box(LEN)).expect("one is free")
    }

    #[inline(always)]
    fn touch(lease: &mut memory::Lease) {
        touch_slice(lease.dirty_mut());
    }
}

/// The bare lock-free pool of the core, without a cache in front.
pub(crate) struct TurbopumpCore(Pool<'static>);

impl TurbopumpCore {
    pub(crate) fn leaked() -> &'static Self {
        let layout = Layout::constant(&STANDARD_CLASSES);
        let pool = Pool::new(&layout, Heap).expect("the heap has enough");
        pool.warm_up(COUNT);
        leak(Self(pool))
    }
}

impl Peer for TurbopumpCore {
    const NAME: &'static str = "turbopump core";
    type Buffer = Lease<BorrowedRef<'static, Pool<'static>>>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        self.0.acquire(black_box(LEN)).expect("one is free")
    }

    #[inline(always)]
    fn touch(lease: &mut Self::Buffer) {
        touch_slice(lease.dirty_mut());
    }
}

/// opool's way to make and clean values.
pub(crate) struct Buffers;

impl opool::PoolAllocator<Bytes> for Buffers {
    fn allocate(&self) -> Bytes {
        bytes()
    }
}

/// The same for vectors.
pub(crate) struct Vectors;

impl opool::PoolAllocator<Vec<u8>> for Vectors {
    fn allocate(&self) -> Vec<u8> {
        Vec::with_capacity(LEN)
    }

    fn reset(&self, list: &mut Vec<u8>) {
        list.clear();
    }
}

pub(crate) struct Opool(opool::Pool<Buffers, Bytes>);

impl Opool {
    pub(crate) fn leaked() -> &'static Self {
        leak(Self(opool::Pool::new_prefilled(COUNT, Buffers)))
    }
}

impl Peer for Opool {
    const NAME: &'static str = "opool";
    type Buffer = opool::RefGuard<'static, Buffers, Bytes>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        self.0.get()
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer[..]);
    }
}

pub(crate) struct LockfreeObjectPool(lockfree_object_pool::LinearObjectPool<Bytes>);

impl LockfreeObjectPool {
    pub(crate) fn leaked() -> &'static Self {
        leak(Self(lockfree_object_pool::LinearObjectPool::new(bytes, |_| ())))
    }
}

impl Peer for LockfreeObjectPool {
    const NAME: &'static str = "lockfree-object-pool";
    type Buffer = lockfree_object_pool::LinearReusable<'static, Bytes>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        self.0.pull()
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer[..]);
    }
}

/// The same with handles that may go to another thread.
pub(crate) struct LockfreeObjectPoolOwned(Arc<lockfree_object_pool::LinearObjectPool<Bytes>>);

impl LockfreeObjectPoolOwned {
    pub(crate) fn leaked() -> &'static Self {
        leak(Self(Arc::new(lockfree_object_pool::LinearObjectPool::new(bytes, |_| ()))))
    }
}

impl Peer for LockfreeObjectPoolOwned {
    const NAME: &'static str = "lockfree-object-pool";
    type Buffer = lockfree_object_pool::LinearOwnedReusable<Bytes>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        self.0.pull_owned()
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer[..]);
    }
}

heapless::object_pool!(HeaplessPool: [u8; LEN]);

pub(crate) struct Heapless;

impl Heapless {
    pub(crate) fn leaked() -> &'static Self {
        use heapless::pool::object::ObjectBlock;
        for _ in 0..COUNT {
            HeaplessPool.manage(Box::leak(Box::new(ObjectBlock::new([0; LEN]))));
        }
        &Self
    }
}

impl Peer for Heapless {
    const NAME: &'static str = "heapless";
    type Buffer = heapless::pool::object::Object<HeaplessPool>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        HeaplessPool.request().expect("one is free")
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer[..]);
    }
}

/// What sharded-slab asks of pooled values.
pub(crate) struct Cleared(Bytes);

impl Default for Cleared {
    fn default() -> Self {
        Self(bytes())
    }
}

impl sharded_slab::Clear for Cleared {
    fn clear(&mut self) {}
}

pub(crate) struct ShardedSlab(sharded_slab::Pool<Cleared>);

impl ShardedSlab {
    pub(crate) fn leaked() -> &'static Self {
        leak(Self(sharded_slab::Pool::new()))
    }
}

impl Peer for ShardedSlab {
    const NAME: &'static str = "sharded-slab";
    type Buffer = CreatedSlot;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        CreatedSlot(self.0.create().expect("one is free"), &self.0)
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer.0.0[..]);
    }
}

/// Dropping sharded-slab's handle keeps the value; it is to go back.
pub(crate) struct CreatedSlot(
    sharded_slab::pool::RefMut<'static, Cleared>,
    &'static sharded_slab::Pool<Cleared>,
);

impl Drop for CreatedSlot {
    #[inline(always)]
    fn drop(&mut self) {
        self.1.clear(self.0.key());
    }
}

/// The same with handles that may go to another thread.
pub(crate) struct ShardedSlabOwned(Arc<sharded_slab::Pool<Cleared>>);

impl ShardedSlabOwned {
    pub(crate) fn leaked() -> &'static Self {
        leak(Self(Arc::new(sharded_slab::Pool::new())))
    }
}

impl Peer for ShardedSlabOwned {
    const NAME: &'static str = "sharded-slab";
    type Buffer = CreatedOwnedSlot;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        CreatedOwnedSlot(Arc::clone(&self.0).create_owned().expect("one is free"), &self.0)
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        touch_slice(&mut buffer.0.0[..]);
    }
}

pub(crate) struct CreatedOwnedSlot(
    sharded_slab::pool::OwnedRefMut<Cleared>,
    &'static sharded_slab::Pool<Cleared>,
);

impl Drop for CreatedOwnedSlot {
    #[inline(always)]
    fn drop(&mut self) {
        self.1.clear(self.0.key());
    }
}

/// A queue of boxes: what many write for themselves.
pub(crate) struct ArrayQueue(crossbeam_queue::ArrayQueue<Bytes>);

impl ArrayQueue {
    pub(crate) fn leaked() -> &'static Self {
        let queue = crossbeam_queue::ArrayQueue::new(COUNT);
        for _ in 0..COUNT {
            queue.push(bytes()).expect("so many fit");
        }
        leak(Self(queue))
    }
}

pub(crate) struct Queued(Option<Bytes>, &'static ArrayQueue);

impl Drop for Queued {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(bytes) = self.0.take() {
            let _ = self.1.0.push(bytes);
        }
    }
}

impl Peer for ArrayQueue {
    const NAME: &'static str = "crossbeam ArrayQueue";
    type Buffer = Queued;

    #[inline(always)]
    fn get(&'static self) -> Queued {
        Queued(Some(self.0.pop().expect("one is free")), self)
    }

    #[inline(always)]
    fn touch(buffer: &mut Queued) {
        touch_slice(&mut buffer.0.as_mut().expect("there until drop")[..]);
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A list of buffers per thread, not shared at all: whoever gets more than it returns allocates.
pub(crate) struct ThreadLocalVec;

/// Buffers that a thread keeps at most.
const KEPT_MAX: usize = 64;

pub(crate) struct Kept(Vec<u8>);

impl Drop for Kept {
    #[inline(always)]
    fn drop(&mut self) {
        let buffer = core::mem::take(&mut self.0);
        KEPT.with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}

impl Peer for ThreadLocalVec {
    const NAME: &'static str = "thread_local Vec";
    type Buffer = Kept;

    #[inline(always)]
    fn get(&'static self) -> Kept {
        let kept = KEPT.with(|kept| kept.borrow_mut().pop());
        Kept(kept.unwrap_or_else(|| vec![0; LEN]))
    }

    #[inline(always)]
    fn touch(buffer: &mut Kept) {
        touch_slice(&mut buffer.0);
    }
}

/// The allocator of the system: glibc's, where there is that.
pub(crate) struct Native;

impl Peer for Native {
    const NAME: &'static str = "Box of the system's allocator";
    type Buffer = Box<[MaybeUninit<u8>]>;

    #[inline(always)]
    fn get(&'static self) -> Self::Buffer {
        Box::new_uninit_slice(black_box(LEN))
    }

    #[inline(always)]
    fn touch(buffer: &mut Self::Buffer) {
        if let [first, .., last] = black_box(&mut buffer[..]) {
            first.write(1);
            last.write(2);
        }
    }
}

#[cfg(feature = "jemalloc")]
pub(crate) use self::jemalloc::Jemalloc;

#[cfg(feature = "jemalloc")]
#[allow(unsafe_code)]
mod jemalloc {
    use core::alloc::{GlobalAlloc, Layout};
    use core::hint::black_box;
    use core::ptr::NonNull;

    use super::{LEN, Peer};

    /// jemalloc, called directly: the program's own allocator stays what it is.
    pub(crate) struct Jemalloc;

    pub(crate) struct Block(NonNull<u8>);

    const LAYOUT: Layout = Layout::new::<[u8; LEN]>();

    impl Peer for Jemalloc {
        const NAME: &'static str = "jemalloc";
        type Buffer = Block;

        #[inline(always)]
        fn get(&'static self) -> Block {
            // SAFETY: the layout is not of size 0.
            let block = unsafe { tikv_jemallocator::Jemalloc.alloc(black_box(LAYOUT)) };
            Block(NonNull::new(block).expect("there is memory"))
        }

        #[inline(always)]
        fn touch(block: &mut Block) {
            // SAFETY: the block has `LEN` bytes and is not shared.
            unsafe {
                let first = black_box(block.0);
                first.write(1);
                first.add(LEN - 1).write(2);
            }
        }
    }

    impl Drop for Block {
        #[inline(always)]
        fn drop(&mut self) {
            // SAFETY: `get` allocated it with this layout, and nobody uses it any more.
            unsafe { tikv_jemallocator::Jemalloc.dealloc(self.0.as_ptr(), LAYOUT) };
        }
    }

    // SAFETY: a block is memory with one owner.
    unsafe impl Send for Block {}
}
