//! Lines of text through the whole of the generic half, and back.
//!
//! Each line is put into a pooled buffer and pushed into a batch. A batch that is closed becomes
//! one frame: its lines, each framed, compressed if that pays. Its bytes go over an imaginary
//! wire in pieces; at the other end they are decoded, inflated and compared with what was sent.
//!
//! ```text
//! cargo run --release -p turbopump-core --features alloc --example pipeline -- [FILE | -]
//! ```
//!
//! `-` is standard input; without an argument it reads its own source. Memory does not grow with
//! the file: 100 lines or 32 KiB are under way at a time. A line above 16 KiB goes in pieces.

use core::error::Error;
use core::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Instant as SystemInstant;

use turbopump_core::batch::{Accumulator, Batch, BatchConfig, BatchCounters, BatchStorage, Reason};
use turbopump_core::compress::{
    Decompress as _, Deflate, Encoded, Format, Inflate, InflateState, Policy,
};
use turbopump_core::descriptor;
use turbopump_core::frame::{Header as _, LengthField, Reader, decode};
use turbopump_core::pool::{
    CLASS_BYTES, Chunk, ClassLayout, Heap, Layout, OwnedRef, Pool, PoolStats,
};
use turbopump_core::stats::{
    Counter, Descriptor, Kind, LatencyHistogram, Samples, Source, Unit, VisitError, text,
};
use turbopump_core::time::{Instant, Now};

/// A line's bytes and their pool.
type Line = Chunk<OwnedRef<Pool<'static>>>;

/// The longest piece of a line.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes of the lines of one batch at most: with their headers they fit the largest buffer.
const BATCH_BYTES_MAX: usize = 32 << 10;
/// A frame's header: four bytes of length,
const HEADER_BYTES: usize = 4;
/// and behind it, on the wire, one byte that says whether the body is compressed.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
/// What the imaginary network delivers at a time.
const SEGMENT_BYTES: usize = 1_460;
/// The largest buffer, and so the longest frame.
const FRAME_BYTES_MAX: usize = CLASS_BYTES[CLASS_BYTES.len() - 1];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [] => run("its own source", include_bytes!("pipeline.rs").as_slice()),
        [dash] if dash == "-" => run("standard input", io::stdin().lock()),
        [option] if option.starts_with('-') => Err(format!("unknown option {option}").into()),
        [path] => File::open(path)
            .map_err(|error| format!("can't open {path}: {error}").into())
            .and_then(|file| run(path, BufReader::new(file))),
        _ => Err("more than one file".into()),
    };
    let written = result.and_then(|report| match io::stdout().write_all(report.as_bytes()) {
        // Whoever reads this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Into::into),
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}\nusage: pipeline [FILE | -]   (- is standard input)");
            ExitCode::FAILURE
        }
    }
}

/// Sends all lines of `input` and returns what there is to say about it.
fn run(name: &str, mut input: impl BufRead) -> Result<String, Box<dyn Error>> {
    let config = BatchConfig {
        bytes_max: BATCH_BYTES_MAX as u64,
        item_bytes_max: LINE_BYTES_MAX as u64,
        ..BatchConfig::default()
    };
    let classes = CLASS_BYTES.map(|bytes| ClassLayout::new(bytes, 128));
    let pool = OwnedRef::new(Pool::new(&Layout::new(&classes)?, Heap)?);
    let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 0)?;
    let mut batch = Batch::on_heap(&config);
    let mut sender = Sender::new(pool.clone())?;
    let mut receiver = Receiver::new()?;
    let started = SystemInstant::now();
    let now = || Now::new(Instant::from_us(started.elapsed().as_micros() as u64), 0);

    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        line.clear();
        let mut piece = input.by_ref().take(LINE_BYTES_MAX as u64);
        piece
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("can't read {name}: {error}"))?;
        if line.is_empty() {
            // No more lines: what waits goes now, whatever its size.
            batcher.shutdown();
        } else {
            let mut lease = pool.acquire(line.len())?;
            lease.extend_from_slice(&line)?;
            batcher.push(now(), lease.freeze(), line.len() as u64)?;
        }
        while batcher.poll_batch(now(), &mut batch)? {
            let sent_at = now();
            let frame = sender.frame(&batch)?;
            receiver.receive(&frame, &batch)?;
            sender.stats.round_trip_us.observe(now().at.us_since(sent_at.at));
            batcher.settle(now(), &mut batch, |_, _| ())?;
        }
        if batcher.is_drained() && line.is_empty() {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    receiver.reader.finish()?;
    let pool = pool.stats();
    let stats = Stats { batch: batcher.counters().clone(), pool, ..sender.stats };
    report(name, &stats, &receiver, seconds)
}

/// Makes frames of batches.
struct Sender {
    header: LengthField,
    pool: OwnedRef<Pool<'static>>,
    policy: Policy,
    deflate: Deflate,
    stats: Stats,
}

impl Sender {
    fn new(pool: OwnedRef<Pool<'static>>) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            header: LengthField::big_endian_u32(FRAME_BYTES_MAX)?,
            pool,
            policy: Policy::default(),
            deflate: Deflate::new(Format::Zlib, 5)?,
            stats: Stats::default(),
        })
    }

    fn frame(&mut self, batch: &Batch<'_, Line>) -> Result<Line, Box<dyn Error>> {
        let lines_bytes = batch.bytes() as usize + batch.len() * HEADER_BYTES;
        let mut body = self.pool.acquire(lines_bytes)?;
        for line in batch.iter() {
            body.extend_from_slice(&self.prefix(line.len())?)?;
            body.extend_from_slice(line)?;
        }
        let mut small = self.pool.acquire(lines_bytes)?;
        let room = small.extend_zeroed(lines_bytes)?;
        let (kind, mut body) = match self.policy.encode(&mut self.deflate, &body, room)? {
            Encoded::Plain(_) => (PLAIN, body),
            Encoded::Compressed(len) => {
                small.truncate(len);
                (COMPRESSED, small)
            }
        };
        // The headers go into the headroom that each buffer has: nothing is moved.
        body.prepend(&[kind])?;
        body.prepend(&self.prefix(body.len())?)?;
        self.stats.plain_bytes.add(batch.bytes());
        self.stats.wire_bytes.add(body.len() as u64);
        self.stats.frames[usize::from(kind)].increment();
        Ok(body.freeze())
    }

    fn prefix(&self, body_bytes: usize) -> Result<[u8; HEADER_BYTES], Box<dyn Error>> {
        let mut prefix = [0; HEADER_BYTES];
        self.header.write_length(HEADER_BYTES + body_bytes, &mut prefix)?;
        Ok(prefix)
    }
}

/// Takes frames apart again.
struct Receiver {
    reader: Reader<'static, LengthField>,
    inflate: Inflate<Box<InflateState>>,
    room: Vec<u8>,
    lines: u64,
}

impl Receiver {
    fn new() -> Result<Self, Box<dyn Error>> {
        let storage_bytes = Reader::<LengthField>::bulk_len(FRAME_BYTES_MAX, SEGMENT_BYTES);
        let storage = vec![0; storage_bytes].into_boxed_slice();
        Ok(Self {
            reader: Reader::new(LengthField::big_endian_u32(FRAME_BYTES_MAX)?, storage)?,
            inflate: Inflate::new(Format::Zlib, InflateState::new_boxed())?,
            room: vec![0; FRAME_BYTES_MAX],
            lines: 0,
        })
    }

    /// What comes over the wire, segment by segment; it must be what `sent` holds.
    fn receive(&mut self, wire: &[u8], sent: &Batch<'_, Line>) -> Result<(), Box<dyn Error>> {
        let mut frames = 0;
        for segment in wire.chunks(SEGMENT_BYTES) {
            self.reader.receive_buffer_bulk()?[..segment.len()].copy_from_slice(segment);
            self.reader.commit(segment.len())?;
            while let Some(frame) = self.reader.next_frame()? {
                let body = match frame.get(HEADER_BYTES..).and_then(<[u8]>::split_first) {
                    Some((&PLAIN, body)) => body,
                    Some((&COMPRESSED, body)) => {
                        let len = self.inflate.decompress(body, &mut self.room)?;
                        &self.room[..len]
                    }
                    _ => {
                        return Err("a frame of a kind that is neither plain nor compressed".into());
                    }
                };
                let header = LengthField::big_endian_u32(FRAME_BYTES_MAX)?;
                let mut expected = sent.iter();
                for line in decode(&header, body) {
                    let line = &line?[HEADER_BYTES..];
                    if expected.next().is_none_or(|sent| sent != line) {
                        return Err(format!("line {} came out changed", self.lines + 1).into());
                    }
                    self.lines += 1;
                }
                if expected.next().is_some() {
                    return Err(format!("line {} was lost", self.lines + 1).into());
                }
                frames += 1;
            }
        }
        if frames == 1 { Ok(()) } else { Err(format!("{frames} frames instead of one").into()) }
    }
}

static LINES: Descriptor = descriptor!(Kind::Counter, "pipeline_lines_total", "Lines sent.");
static BATCHES: Descriptor =
    descriptor!(Kind::Counter, "pipeline_batches_total", "Batches closed.");
static FRAMES: Descriptor = descriptor!(Kind::Counter, "pipeline_frames_total", "Frames sent.");
static BYTES: Descriptor =
    descriptor!(Kind::Counter, "pipeline_wire_bytes_total", "Bytes sent.", Unit::BYTES);
static BUFFERS: Descriptor =
    descriptor!(Kind::Counter, "pipeline_buffers_total", "Requests for buffers.");
static DURATION: Descriptor = descriptor!(
    Kind::Histogram,
    "pipeline_batch_duration_seconds",
    "From a closed batch to its lines checked.",
    Unit::MICROSECONDS
);
static FAMILIES: [&Descriptor; 6] = [&LINES, &BATCHES, &FRAMES, &BYTES, &BUFFERS, &DURATION];

#[derive(Default)]
struct Stats {
    batch: BatchCounters,
    pool: PoolStats,
    plain_bytes: Counter,
    wire_bytes: Counter,
    /// Plain and compressed.
    frames: [Counter; 2],
    round_trip_us: LatencyHistogram,
}

impl Source for Stats {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.counter(&LINES, &[], self.batch.items)?;
        for (reason, closed) in Reason::ALL.into_iter().zip(self.batch.closed) {
            samples.counter(&BATCHES, &[("reason", reason.name())], closed)?;
        }
        for (kind, frames) in ["plain", "compressed"].into_iter().zip(self.frames) {
            samples.counter(&FRAMES, &[("kind", kind)], frames)?;
        }
        samples.counter(&BYTES, &[], self.wire_bytes)?;
        samples.counter(&BUFFERS, &[("result", "hit")], self.pool.hits as u64)?;
        samples.counter(&BUFFERS, &[("result", "miss")], self.pool.misses as u64)?;
        samples.histogram(&DURATION, &[], &self.round_trip_us)
    }
}

fn report(
    name: &str,
    stats: &Stats,
    receiver: &Receiver,
    seconds: f64,
) -> Result<String, Box<dyn Error>> {
    let Stats { batch, pool, .. } = stats;
    let (plain, wire) = (stats.plain_bytes.get(), stats.wire_bytes.get());
    let share = if plain == 0 { 100.0 } else { wire as f64 / plain as f64 * 100.0 };
    let rates = (receiver.lines as f64 / seconds, plain as f64 / seconds / 1e6);
    let mut page = format!("pipeline: {name}\n");
    writeln!(page, "  lines    {} sent, {} came out the same", batch.items.get(), receiver.lines)?;
    let (batches, lines) = (batch.batches.get(), batch.items_mean());
    writeln!(page, "  batches  {batches}, {lines:.1} lines on average")?;
    writeln!(page, "  wire     {wire} bytes for {plain}, {share:.1} %")?;
    let (hits, peak) = (pool.hit_rate() * 100.0, pool.high_water);
    writeln!(page, "  pool     {hits:.1} % hits of {}, {peak} at most in use", pool.acquisitions)?;
    writeln!(
        page,
        "  time     {:.1} ms, {:.0} lines/s, {:.1} MB/s",
        seconds * 1e3,
        rates.0,
        rates.1
    )?;
    page.push('\n');
    text::write_prometheus(&[stats], &[], &mut page)?;
    if receiver.lines != batch.items.get() || pool.in_use != 0 {
        return Err(format!("something got lost:\n{page}").into());
    }
    Ok(page)
}
