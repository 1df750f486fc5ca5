//! Extension from outside: each trait that is meant to be implemented by others, implemented here.

extern crate alloc;

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use turbopump_core::backing::Backing;
use turbopump_core::batch::{
    Accumulator, Batch, BatchConfig, BatchStorage, Outcome, Settled, Sink, run,
};
use turbopump_core::compress::{
    Compress, CompressError, Decompress, Encoded, Format, InflateError, PlainReason, Policy,
};
use turbopump_core::descriptor;
use turbopump_core::frame::{FrameError, Header, NoHeadroom, Prepend, Reader, decode, seal};
use turbopump_core::pool::{
    AcquireRefused, BorrowedRef, BufferSource, ClassLayout, Home, Layout, Lease, Manage, Memory,
    ObjectMemory, ObjectPool, Parts, Pool, Recycle, Request, Row, Slot, SlotPool, SlotState,
    Storage, StorageError,
};
use turbopump_core::stats::{
    Counter, Descriptor, Distribution, Kind, Samples, Series, Source, VisitError, Visitor,
    visit_all,
};
use turbopump_core::time::{Clock, Instant, Now};

const CLASSES: [ClassLayout; 1] = [ClassLayout::new(64, 4).with_headroom(8)];
const LAYOUT: Layout<'static> = Layout::constant(&CLASSES);

// --- Pool storage

/// Memory that is leaked on purpose, for a pool that lives as long as the program.
struct Leaked {
    bytes_max: usize,
}

impl Storage<'static> for Leaked {
    fn into_parts(self, layout: &Layout<'_>) -> Result<Parts<'static>, StorageError> {
        let needed = layout.bytes_len();
        if needed > self.bytes_max {
            return Err(StorageError::TooSmall { piece: "bytes", len: self.bytes_max, needed });
        }
        fn leak<T>(len: usize, make: impl Fn() -> T) -> Backing<'static, T> {
            Backing::Borrowed((0..len).map(|_| make()).collect::<Vec<_>>().leak())
        }
        Ok(Parts {
            rows: leak(layout.classes_len(), Row::new),
            slots: leak(layout.slots_len(), SlotState::new),
            bytes: leak(needed, || 0),
        })
    }
}

#[test]
fn pool_storage() {
    let refused = Pool::new(&LAYOUT, Leaked { bytes_max: 10 }).err();
    assert!(matches!(refused, Some(StorageError::TooSmall { piece: "bytes", len: 10, .. })));
    let pool = Pool::new(&LAYOUT, Leaked { bytes_max: 1_000 }).expect("enough");
    let held: Vec<_> = (0..4).map(|_| pool.acquire(64).expect("one is free")).collect();
    assert!(matches!(pool.acquire(64), Err(AcquireRefused::Empty { count: 4, .. })));
    drop(held);
    assert_eq!(pool.stats().in_use, 0);
}

// --- What becomes of slots: a cache of one's own

/// Keeps the last slot that came back, by its class, for the next request.
#[derive(Default)]
struct LastOne {
    kept: Cell<Option<usize>>,
    reused: Cell<usize>,
}

impl<H: Home<Pool: SlotPool<Recycler = Self>>> Recycle<H> for LastOne {
    fn recycle(slot: Slot<H>) {
        slot.pool().recycler().kept.set(Some(slot.class()));
        slot.release();
    }
}

type Borrowed<'p> = BorrowedRef<'p, Pool<'p, LastOne>>;

/// Takes slots itself and makes leases of them.
struct Reusing<'p>(Borrowed<'p>, RefCell<Vec<Slot<Borrowed<'p>>>>);

impl<'p> BufferSource for Reusing<'p> {
    type Ref = Borrowed<'p>;

    fn acquire_with(&self, request: Request) -> Result<Lease<Borrowed<'p>>, AcquireRefused> {
        let (home, pool) = (self.0, self.0.pool());
        let class = pool.class_of(request)?;
        let shelved = self.1.borrow_mut().pop_if(|slot| slot.class() == class);
        let slot = match shelved.or_else(|| home.claim(class)) {
            Some(slot) => slot,
            None => pool.miss(request, class, |class| home.claim(class))?,
        };
        let recycler = pool.recycler();
        if recycler.kept.take() == Some(class) {
            recycler.reused.set(recycler.reused.get() + 1);
        }
        Ok(Lease::new(slot, request))
    }
}

#[test]
fn recyclers_and_caches() {
    let mut memory = Memory::<1, 4, { LAYOUT.bytes_len() }>::new();
    let pool = Pool::with_recycler(&LAYOUT, &mut memory, LastOne::default()).expect("its layout");
    let home = BorrowedRef::new(&pool);
    let source = Reusing(home, RefCell::default());
    source.1.borrow_mut().extend(core::iter::from_fn(|| home.claim(0)).take(2));
    let mut lease = source.acquire(5).expect("two are shelved");
    lease.extend_from_slice(b"bytes").expect("it fits");
    assert_eq!((source.1.borrow().len(), pool.stats().in_use), (1, 2));
    drop(lease.freeze());
    assert_eq!(pool.recycler().kept.get(), Some(0));
    let all: Vec<_> = core::iter::from_fn(|| source.acquire(1).ok()).collect();
    assert_eq!((all.len(), pool.recycler().reused.get()), (4, 1));
    assert!(matches!(source.acquire(1), Err(AcquireRefused::Empty { count: 4, .. })));
    drop(all);
    assert_eq!(pool.stats().in_use, 0);
}

/// Makes numbered values and says how often they were used.
#[derive(Default)]
struct Numbered {
    made: Cell<u32>,
    returned: Cell<u32>,
}

impl Manage for Numbered {
    type Item = (u32, String);

    fn create(&self) -> (u32, String) {
        self.made.set(self.made.get() + 1);
        (self.made.get(), String::new())
    }

    fn reset(&self, (_, text): &mut (u32, String)) {
        self.returned.set(self.returned.get() + 1);
        text.clear();
    }
}

#[test]
fn makers_of_values() {
    let mut memory = ObjectMemory::<(u32, String), 2>::new();
    let pool = ObjectPool::new(&mut memory, Numbered::default()).expect("room for two");
    for _ in 0..3 {
        let mut value = pool.get().expect("one is free");
        assert_eq!(*value, (1, String::new()));
        value.1.push_str("used");
    }
    let (first, second) = (pool.get().expect("one is free"), pool.get().expect("one is free"));
    assert_eq!((first.0, second.0), (1, 2));
}

// --- Frames

/// A variable-length integer that counts the body: 7 bits a byte, the last one first.
struct Varint;

const VARINT_BYTES: usize = 2;

impl Header for Varint {
    fn prefix_bytes(&self, window: &[u8]) -> usize {
        if window.first().is_some_and(|byte| *byte >= 0x80) { VARINT_BYTES } else { 1 }
    }

    fn frame_bytes(&self, window: &[u8]) -> Result<usize, FrameError> {
        match *window {
            [len, ..] if len < 0x80 => Ok(1 + usize::from(len)),
            [low, high, ..] if high < 0x80 => {
                Ok(2 + usize::from(low & 0x7f) + (usize::from(high) << 7))
            }
            _ => Err(FrameError::Malformed { at: 1, reason: "a length has two bytes at most" }),
        }
    }

    fn frame_bytes_max(&self) -> usize {
        300
    }

    fn write_length(&self, frame_bytes: usize, header: &mut [u8]) -> Result<(), FrameError> {
        self.check_frame_bytes(frame_bytes)?;
        let body = frame_bytes - header.len();
        match header {
            [only] => *only = body as u8,
            [low, high, ..] => (*low, *high) = (body as u8 | 0x80, (body >> 7) as u8),
            [] => return Err(FrameError::Malformed { at: 0, reason: "no room for a length" }),
        }
        Ok(())
    }
}

/// A body that grows to the front by moving: what a target without headroom can do.
struct Moving {
    bytes: Vec<u8>,
    room: usize,
}

impl Prepend for Moving {
    fn headroom(&self) -> usize {
        self.room
    }

    fn body_len(&self) -> usize {
        self.bytes.len()
    }

    fn prepend(&mut self, bytes: usize) -> Result<&mut [u8], NoHeadroom> {
        let Some(room) = self.room.checked_sub(bytes) else {
            return Err(NoHeadroom { needed_bytes: bytes, headroom_bytes: self.room });
        };
        self.room = room;
        self.bytes.splice(..0, core::iter::repeat_n(0, bytes));
        Ok(&mut self.bytes[..bytes])
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let header = if body.len() < 0x80 { &[0][..] } else { &[0, 0][..] };
    let mut target = Moving { bytes: body.to_vec(), room: 4 };
    let sealed = seal(&Varint, &mut target, header).expect("there is room in front");
    assert_eq!(sealed, target.bytes.len());
    target.bytes
}

#[test]
fn frame_headers() {
    let wire = [framed(b"short"), framed(&[b'x'; 200]), framed(b"")].concat();
    let whole: Vec<_> = decode(&Varint, &wire).collect::<Result<_, _>>().expect("sound frames");
    assert_eq!(whole.iter().map(|frame| frame.len()).collect::<Vec<_>>(), [6, 202, 1]);
    // The reader asks for what is missing, byte by byte where the length may have another one.
    let mut reader = Reader::new(Varint, vec![0; 300].into_boxed_slice()).expect("room for one");
    let (mut wire, mut lengths) = (&wire[..], Vec::new());
    while !wire.is_empty() {
        let window = reader.receive_buffer().expect("sound so far");
        let (now, later) = wire.split_at(window.len().min(wire.len()));
        window[..now.len()].copy_from_slice(now);
        reader.commit(now.len()).expect("it was there");
        wire = later;
        while let Some(frame) = reader.next_frame().expect("sound frames") {
            lengths.push(frame.len());
        }
    }
    assert_eq!(lengths, [6, 202, 1]);
    let torn = decode(&Varint, &[0x80, 0x80]).next();
    assert!(matches!(torn, Some(Err(FrameError::Malformed { at: 1, .. }))));
}

#[test]
fn targets_with_room_in_front() {
    assert_eq!(framed(b"body"), b"\x04body");
    let mut target = Moving { bytes: b"body".to_vec(), room: 0 };
    assert!(seal(&Varint, &mut target, &[0]).is_err());
    assert_eq!(target.bytes, b"body", "untouched, to be sent in another way");
}

// --- Compression

/// Pairs of a count and a byte.
struct RunLength;

const RUN_LENGTH: Format = Format::Other(7);

impl Compress for RunLength {
    fn format(&self) -> Format {
        RUN_LENGTH
    }

    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, CompressError> {
        let limit = CompressError::OutputLimit { limit_bytes: output.len() };
        let mut written = 0;
        for run in input.chunk_by(|one, next| one == next).flat_map(|run| run.chunks(255)) {
            let pair = output.get_mut(written..written + 2).ok_or(limit)?;
            pair.copy_from_slice(&[run.len() as u8, run[0]]);
            written += 2;
        }
        Ok(written)
    }
}

impl Decompress for RunLength {
    fn format(&self) -> Format {
        RUN_LENGTH
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize, InflateError> {
        let (mut written, limit_bytes) = (0, output.len());
        for (number, pair) in input.chunks(2).enumerate() {
            let at = 2 * number as u64;
            let &[count, byte] = pair else { return Err(InflateError::Truncated { at: at + 1 }) };
            let run = output.get_mut(written..written + usize::from(count));
            run.ok_or(InflateError::OutputLimit { at, limit_bytes })?.fill(byte);
            written += usize::from(count);
        }
        Ok(written)
    }
}

#[test]
fn compressors() {
    let (policy, mut output) = (Policy::new(16), [0; 64]);
    let mut encode = |body: &[u8]| policy.encode(&mut RunLength, body, &mut output);
    assert_eq!(encode(b"short"), Ok(Encoded::Plain(PlainReason::BelowThreshold)));
    assert_eq!(encode(b"no runs in here at all"), Ok(Encoded::Plain(PlainReason::DoesNotShrink)));
    assert_eq!(encode(&[b'a'; 40]), Ok(Encoded::Compressed(2)));
    let mut restored = [0; 40];
    let codec: &mut dyn Decompress = &mut RunLength;
    assert_eq!(codec.decompress(&output[..2], &mut restored), Ok(40));
    assert_eq!(restored, [b'a'; 40]);
    let bomb = codec.decompress(b"\xffa\xffa", &mut restored);
    assert_eq!(bomb, Err(InflateError::OutputLimit { at: 0, limit_bytes: 40 }));
    assert_eq!(codec.decompress(b"\x01", &mut restored), Err(InflateError::Truncated { at: 1 }));
}

// --- Batches and time

/// Likes even numbers, gives up on those before a multiple of 3, and wants the others again.
#[derive(Default)]
struct Even {
    calls: usize,
}

impl Sink<u32> for Even {
    fn process(&mut self, batch: &mut Batch<'_, u32>) {
        self.calls += 1;
        for mut entry in batch.iter_mut() {
            match *entry.item() {
                number if number % 2 == 0 => {}
                number if number % 3 == 2 => entry.set(Outcome::Failed),
                _ => entry.set(Outcome::Retry),
            }
        }
    }
}

/// Each look at it takes a millisecond, and somebody else can see how late it is.
#[derive(Clone, Default)]
struct Ticking(Rc<Cell<u64>>);

impl Clock for Ticking {
    fn now(&self) -> Now {
        self.0.set(self.0.get() + 1);
        Now::new(Instant::from_ms(self.0.get()), 1_000 + self.0.get())
    }
}

#[test]
fn sinks() {
    let (config, clock) = (BatchConfig::default(), Ticking::default());
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("fits");
    let mut batch = Batch::on_heap(&config);
    for number in 0..6 {
        batcher.push(clock.now(), number, 4).expect("there is room");
    }
    let (mut sink, mut settled) = (Even::default(), Vec::new());
    while !batcher.is_drained() {
        batcher.flush();
        let each = |number, how| settled.push((number, how));
        run(&mut batcher, &clock, &mut batch, &mut sink, each).expect("room for a batch");
    }
    assert_eq!(sink.calls, 4, "the first attempt and three more");
    settled.sort_by_key(|(number, _)| *number);
    assert_eq!(settled.iter().filter(|(_, how)| *how == Settled::Done).count(), 3);
    let numbers: Vec<_> = settled.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "each of them once");
}

#[test]
fn clocks() {
    let clock = Ticking::default();
    let (watched, config) = (clock.clone(), BatchConfig::default());
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).expect("fits");
    let mut batch = Batch::on_heap(&config);
    batcher.push(clock.now(), "an item", 7).expect("there is room");
    let (mut batches, mut polls) = (0, 0);
    while batches == 0 {
        polls += 1;
        let mut count = |batch: &mut Batch<'_, &str>| assert_eq!(batch.len(), 1);
        let run = run(&mut batcher, &clock, &mut batch, &mut count, |_, _| ());
        batches = run.expect("room for a batch");
    }
    // Pushed at 1 ms, due at 11 ms, and each poll looks at the clock once.
    assert_eq!(polls, 10);
    assert!(watched.0.get() >= 11);
}

// --- Statistics

static SEEN: Descriptor = descriptor!(Kind::Counter, "seen_total", "Things seen.");
static WAITING: Descriptor = descriptor!(Kind::Gauge, "waiting", "Things that wait.");
static FAMILIES: [&Descriptor; 2] = [&SEEN, &WAITING];

struct Things {
    seen: Counter,
    waiting: u32,
}

impl Source for Things {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&SEEN, &[("kind", "thing")], self.seen)?;
        samples.gauge(&WAITING, &[], self.waiting)
    }
}

/// Sums up all there is.
#[derive(Default)]
struct Sum {
    families: Vec<&'static str>,
    counted: u64,
    gauged: i64,
}

impl Visitor for Sum {
    fn begin_family(&mut self, family: &'static Descriptor) -> Result<(), VisitError> {
        self.families.push(family.name());
        Ok(())
    }

    fn counter(&mut self, _: &Series<'_>, value: u64) -> Result<(), VisitError> {
        self.counted += value;
        Ok(())
    }

    fn gauge(&mut self, _: &Series<'_>, value: i64) -> Result<(), VisitError> {
        self.gauged += value;
        Ok(())
    }

    fn float_gauge(&mut self, _: &Series<'_>, _: f64) -> Result<(), VisitError> {
        Ok(())
    }

    fn histogram(&mut self, _: &Series<'_>, _: &dyn Distribution) -> Result<(), VisitError> {
        Ok(())
    }
}

#[test]
fn visitors_of_numbers() {
    let mut first = Things { seen: Counter::new(), waiting: 3 };
    first.seen.increment();
    let second = Things { seen: first.seen, waiting: 4 };
    let mut sum = Sum::default();
    visit_all(&[first, second], &[("host", "here")], &mut sum).expect("sound sources");
    assert_eq!(sum.families, ["seen_total", "waiting"]);
    assert_eq!((sum.counted, sum.gauged), (2, 7));
}
