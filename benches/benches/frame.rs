//! Framing beside tokio-util's `LengthDelimitedCodec`: 256-byte frames, 4-byte header included.
//!
//! A time per iteration covers 256 frames (64 KiB); divide by 256, or read the elements per second.

use core::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use turbopump_core::frame::{FrameWriter, LengthField, Reader, decode, seal};

const FRAME_BYTES: usize = 256;
const HEADER_BYTES: usize = 4;
const FRAMES: usize = 256;
const WINDOW_BYTES: usize = FRAMES * FRAME_BYTES;
const FRAME_BYTES_MAX: usize = 4 << 20;

fn header() -> LengthField {
    // Hidden from the optimiser, as a header read from a configuration is.
    black_box(LengthField::big_endian_u32(FRAME_BYTES_MAX).unwrap())
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

fn window() -> Vec<u8> {
    let mut window = Vec::with_capacity(WINDOW_BYTES);
    for index in 0..FRAMES {
        window.extend_from_slice(&((FRAME_BYTES - HEADER_BYTES) as u32).to_be_bytes());
        window.extend_from_slice(&[index as u8; FRAME_BYTES - HEADER_BYTES]);
    }
    window
}

/// What a consumer does at least with a frame: look at its last byte.
fn touch(frame: &[u8]) -> u64 {
    frame.last().copied().unwrap_or(0).into()
}

/// Frames that already lie in memory: nothing but finding where they end.
fn find(group: &mut BenchmarkGroup<'_, WallTime>) {
    let window = window();
    let header = header();
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut frames = decode(&header, black_box(&window));
            let sum: u64 = frames.by_ref().map(|frame| touch(frame.unwrap())).sum();
            assert_eq!(frames.consumed(), WINDOW_BYTES);
            sum
        });
    });
    group.bench_function("tokio-util LengthDelimitedCodec", |b| {
        let mut codec = codec();
        b.iter_batched_ref(
            || BytesMut::from(&window[..]),
            |buffer| {
                let mut sum = 0;
                while let Some(frame) = codec.decode(buffer).unwrap() {
                    sum += touch(&frame);
                }
                sum
            },
            BatchSize::LargeInput,
        );
    });
}

/// Frames that arrive in reads of 64 KiB, each a copy out of the kernel's memory.
fn receive(group: &mut BenchmarkGroup<'_, WallTime>) {
    let stream = window();
    group.bench_function("Reader, bulk windows", |b| {
        let mut storage = vec![0; WINDOW_BYTES + FRAME_BYTES];
        let mut reader = Reader::new(
            black_box(LengthField::big_endian_u32(WINDOW_BYTES).unwrap()),
            &mut storage[..],
        )
        .unwrap();
        b.iter(|| {
            let window = reader.receive_buffer_bulk().unwrap();
            window[..WINDOW_BYTES].copy_from_slice(black_box(&stream));
            reader.commit(WINDOW_BYTES).unwrap();
            reader.frames().map(|frame| touch(frame.unwrap())).sum::<u64>()
        });
    });
    group.bench_function("Reader, exact windows", |b| {
        let mut storage = vec![0; FRAME_BYTES];
        let mut reader = Reader::new(
            black_box(LengthField::big_endian_u32(FRAME_BYTES).unwrap()),
            &mut storage[..],
        )
        .unwrap();
        b.iter(|| {
            let mut rest = black_box(&stream[..]);
            let mut sum = 0;
            while !rest.is_empty() {
                let window = reader.receive_buffer().unwrap();
                let (now, later) = rest.split_at(window.len());
                window.copy_from_slice(now);
                reader.commit(now.len()).unwrap();
                rest = later;
                if let Some(frame) = reader.next_frame().unwrap() {
                    sum += touch(frame);
                }
            }
            sum
        });
    });
    group.bench_function("tokio-util LengthDelimitedCodec", |b| {
        let mut codec = codec();
        let mut buffer = BytesMut::with_capacity(WINDOW_BYTES);
        b.iter(|| {
            buffer.reserve(WINDOW_BYTES);
            buffer.extend_from_slice(black_box(&stream));
            let mut sum = 0;
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                sum += touch(&frame);
            }
            sum
        });
    });
}

/// A body of 252 bytes and its header, in one piece.
fn write(group: &mut BenchmarkGroup<'_, WallTime>) {
    let body = [7; FRAME_BYTES - HEADER_BYTES];
    group.bench_function("FrameWriter and seal", |b| {
        let header = header();
        let mut storage = vec![0; FRAME_BYTES];
        let mut writer = FrameWriter::new(&mut storage[..], HEADER_BYTES).unwrap();
        b.iter(|| {
            let mut sum = 0;
            for _ in 0..FRAMES {
                writer.clear();
                writer.extend_from_slice(black_box(&body)).unwrap();
                seal(&header, &mut writer, &[0; HEADER_BYTES]).unwrap();
                sum += touch(writer.as_slice());
            }
            sum
        });
    });
    group.bench_function("tokio-util LengthDelimitedCodec", |b| {
        let mut codec = codec();
        let body = Bytes::copy_from_slice(&body);
        let mut buffer = BytesMut::with_capacity(FRAME_BYTES);
        b.iter(|| {
            let mut sum = 0;
            for _ in 0..FRAMES {
                buffer.clear();
                codec.encode(black_box(&body).clone(), &mut buffer).unwrap();
                sum += touch(&buffer);
            }
            sum
        });
    });
}

fn frame(criterion: &mut Criterion) {
    for (name, bench) in [
        ("frame/find in 64 KiB", find as fn(&mut BenchmarkGroup<'_, WallTime>)),
        ("frame/receive 64 KiB", receive),
        ("frame/write", write),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(FRAMES as u64));
        bench(&mut group);
        group.finish();
    }
}

criterion_group!(benches, frame);
criterion_main!(benches);
