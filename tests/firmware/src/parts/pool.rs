//! A pool of buffers in a `static`.

use turbopump_core::pool::{AcquireRefused, ClassLayout, Layout, Request, StaticPool};

use crate::check::{Checks, check, must};

const CLASSES: [ClassLayout; 2] =
    [ClassLayout::new(32, 2).with_headroom(8), ClassLayout::new(256, 2).with_headroom(8)];
const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);
static POOL: StaticPool<
    { LAYOUT.classes_len() },
    { LAYOUT.slots_len() },
    { LAYOUT.bytes_len() },
> = StaticPool::new();

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let pool = must(POOL.init(&LAYOUT));
    check!(checks, POOL.init(&LAYOUT).is_err());

    let mut lease = must(pool.acquire(100));
    check!(checks, lease.is_empty() && lease.capacity() == 256);
    must(lease.extend_from_slice(b"hello world"));
    must(lease.prepend(&[11]));
    check!(checks, lease.extend_from_slice(&[0; 300]).is_err());
    let chunk = lease.freeze();
    check!(checks, chunk == b"\x0bhello world");
    let world = must(chunk.slice(7..));
    check!(checks, world == b"world");
    check!(checks, chunk.slice(7..40).is_err());
    let Err(chunk) = chunk.try_unique() else { panic!("`world` shares the buffer") };
    drop(chunk);

    // Refused with the reason: never, not now, and not now but in the next class.
    check!(
        checks,
        matches!(pool.acquire(257), Err(AcquireRefused::TooLarge { len: 257, max: 256 }))
    );
    let second = must(pool.acquire(256));
    check!(
        checks,
        matches!(
            pool.acquire(256),
            Err(AcquireRefused::Empty { class_bytes: 256, next_class_bytes: None, .. })
        )
    );
    drop(second);
    let (first, second) = (must(pool.acquire(1)), must(pool.acquire(32)));
    check!(
        checks,
        matches!(
            pool.acquire(1),
            Err(AcquireRefused::Empty { class_bytes: 32, next_class_bytes: Some(256), .. })
        )
    );
    let larger = must(pool.acquire_with(Request::bytes(1).or_next_class()));
    check!(checks, larger.capacity() == 256);
    drop((first, second, larger));

    let Ok(lease) = world.try_unique() else { panic!("nobody else has it") };
    check!(checks, lease[..] == *b"world");
    drop(lease);
    let stats = pool.stats();
    check!(checks, stats.in_use == 0 && stats.acquisitions == stats.releases);
    check!(checks, stats.acquisitions == 5 && stats.misses == 3);
    let fresh = must(pool.acquire(256));
    check!(checks, fresh.is_empty());
}
