//! Compression and its way back, beside flate2 and LZ4: JSON-like text, zlib format.
//!
//! Throughput counts plain bytes. flate2 turns on SIMD for Adler-32 in miniz_oxide, and since both
//! share the crate in this program, ours has it here, too. Ratios are printed first.

use core::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compression, FlushCompress, FlushDecompress};
use turbopump_core::checksum::crc32;
use turbopump_core::compress::{
    Compress, Decompress, Deflate, Format, Inflate, InflateState, compressed_len_max,
};
use turbopump_core::random::SplitMix64;
use turbopump_std::compress::{ZlibRsDeflate, ZlibRsInflate};

const LEVELS: [u8; 3] = [1, 5, 9];

/// Orders as a shop would send them: keys repeat, numbers and names vary.
fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["created", "paid", "packed", "shipped", "delivered", "returned", "Berlin", "Tokyo"];
    let mut random = SplitMix64::new(11);
    let mut text = String::new();
    while text.len() < len {
        let mut word = || WORDS[random.below(WORDS.len() as u64) as usize];
        let (state, city) = (word(), word());
        let (id, amount) = (random.below(1 << 40), random.below(100_000));
        text += &format!(
            "{{\"orderId\":\"{id:x}\",\"state\":\"{state}\",\"city\":\"{city}\",\
             \"amount\":{amount}.{:02}}}\n",
            random.below(100)
        );
    }
    text.truncate(len);
    text.into_bytes()
}

fn room(len: usize) -> Vec<u8> {
    vec![0; compressed_len_max(Format::Zlib, len).unwrap()]
}

fn print_ratio(name: &str, len: usize, compressed: usize) {
    println!("ratio {name:<40} {:.3}", compressed as f64 / len as f64);
}

fn compress(group: &mut BenchmarkGroup<'_, WallTime>, text: &[u8]) {
    let mut output = room(text.len());
    for level in LEVELS {
        let mut ours = Deflate::new(Format::Zlib, level).unwrap();
        let name = format!("Deflate, level {level}");
        print_ratio(&name, text.len(), ours.compress(text, &mut output).unwrap());
        group.bench_function(name, |b| {
            b.iter(|| ours.compress(black_box(text), &mut output).unwrap());
        });
        group.bench_function(format!("Deflate, level {level}, a new one each time"), |b| {
            b.iter(|| {
                let mut ours = Deflate::new(Format::Zlib, level).unwrap();
                ours.compress(black_box(text), &mut output).unwrap()
            });
        });
        let mut zlib_rs = ZlibRsDeflate::new(Format::Zlib, level).unwrap();
        let name = format!("ZlibRsDeflate, level {level}");
        print_ratio(&name, text.len(), zlib_rs.compress(text, &mut output).unwrap());
        group.bench_function(name, |b| {
            b.iter(|| zlib_rs.compress(black_box(text), &mut output).unwrap());
        });
        let mut peer = flate2::Compress::new(Compression::new(level.into()), true);
        group.bench_function(format!("flate2, level {level}"), |b| {
            b.iter(|| {
                peer.reset();
                peer.compress(black_box(text), &mut output, FlushCompress::Finish).unwrap();
                peer.total_out()
            });
        });
    }
    let mut output = vec![0; lz4_flex::block::get_maximum_output_size(text.len())];
    let compressed = lz4_flex::block::compress_into(text, &mut output).unwrap();
    print_ratio("lz4_flex", text.len(), compressed);
    group.bench_function("lz4_flex", |b| {
        b.iter(|| lz4_flex::block::compress_into(black_box(text), &mut output).unwrap());
    });
}

fn decompress(group: &mut BenchmarkGroup<'_, WallTime>, text: &[u8]) {
    let mut compressed = room(text.len());
    let mut deflate = Deflate::new(Format::Zlib, 5).unwrap();
    let len = deflate.compress(text, &mut compressed).unwrap();
    compressed.truncate(len);
    let mut output = vec![0; text.len()];

    let mut ours = Inflate::new(Format::Zlib, InflateState::new_boxed()).unwrap();
    group.bench_function("Inflate", |b| {
        b.iter(|| ours.decompress(black_box(&compressed), &mut output).unwrap());
    });
    group.bench_function("Inflate, in pieces of 512 bytes", |b| {
        b.iter(|| {
            ours.reset();
            for piece in black_box(&compressed).chunks(512) {
                ours.update(piece, &mut output).unwrap();
            }
            ours.finish().unwrap()
        });
    });
    group.bench_function("Inflate, a new one each time", |b| {
        b.iter(|| {
            let mut ours = Inflate::new(Format::Zlib, InflateState::new_boxed()).unwrap();
            ours.decompress(black_box(&compressed), &mut output).unwrap()
        });
    });
    let mut zlib_rs = ZlibRsInflate::new(Format::Zlib).unwrap();
    group.bench_function("ZlibRsInflate", |b| {
        b.iter(|| zlib_rs.decompress(black_box(&compressed), &mut output).unwrap());
    });
    let mut peer = flate2::Decompress::new(true);
    group.bench_function("flate2", |b| {
        b.iter(|| {
            peer.reset(true);
            peer.decompress(black_box(&compressed), &mut output, FlushDecompress::Finish).unwrap();
            peer.total_out()
        });
    });
    assert_eq!(output, text);

    let mut gzip = vec![0; compressed_len_max(Format::Gzip, text.len()).unwrap()];
    let len = Deflate::new(Format::Gzip, 5).unwrap().compress(text, &mut gzip).unwrap();
    let mut ours = Inflate::new(Format::Gzip, InflateState::new_boxed()).unwrap();
    group.bench_function("Inflate, gzip", |b| {
        b.iter(|| ours.decompress(black_box(&gzip[..len]), &mut output).unwrap());
    });

    let lz4 = lz4_flex::block::compress(text);
    group.bench_function("lz4_flex", |b| {
        b.iter(|| lz4_flex::block::decompress_into(black_box(&lz4), &mut output).unwrap());
    });
}

fn checksum(group: &mut BenchmarkGroup<'_, WallTime>, text: &[u8]) {
    group.bench_function("crc32", |b| b.iter(|| crc32(black_box(text))));
}

fn codecs(criterion: &mut Criterion) {
    for kib in [1, 16] {
        let text = text(kib << 10);
        for (name, bench) in [
            ("compress", compress as fn(&mut BenchmarkGroup<'_, WallTime>, &[u8])),
            ("decompress", decompress),
            ("checksum", checksum),
        ] {
            let mut group = criterion.benchmark_group(format!("{name} {kib} KiB"));
            group.throughput(Throughput::Bytes(text.len() as u64));
            bench(&mut group, &text);
            group.finish();
        }
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
