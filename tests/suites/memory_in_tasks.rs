//! Buffers and pooled values go with tasks, across whatever these wait for.

use core::future::Future;

use smol::channel;
use smol::future::yield_now;
use turbopump_std::backend::Backend;
use turbopump_std::memory::{BufferPool, Chunk, Lease, Object, ObjectPool};
use turbopump_tests::on_every_backend;

on_every_backend![leases_chunks_and_objects_are_held_while_their_task_waits];

/// Fills a buffer, waiting in between with the buffer in hand.
async fn filled(pool: &BufferPool, text: &[u8]) -> Lease {
    let mut lease = pool.acquire(text.len()).unwrap();
    for piece in text.chunks(2) {
        yield_now().await;
        lease.extend_from_slice(piece).unwrap();
    }
    lease
}

async fn passed_on(chunk: Chunk) -> Chunk {
    let copy = chunk.clone();
    yield_now().await;
    assert_eq!(copy, chunk);
    copy
}

async fn grown(mut object: Object<Vec<u8>>, by: &[u8]) -> Object<Vec<u8>> {
    yield_now().await;
    object.extend_from_slice(by);
    object
}

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

async fn leases_chunks_and_objects_are_held_while_their_task_waits<B: Backend>(backend: B) {
    let buffers = BufferPool::standard();
    let objects = ObjectPool::new(4, Vec::new, Vec::clear).unwrap();
    let (done, finished) = channel::bounded(1);
    let (pool, vectors) = (buffers.clone(), objects.clone());
    backend.spawn(assert_send(async move {
        let lease = assert_send(filled(&pool, b"a message")).await;
        let chunk = assert_send(passed_on(lease.freeze())).await;
        let object = assert_send(grown(vectors.get().unwrap(), &chunk)).await;
        done.send((chunk, object)).await.unwrap();
    }));
    let (chunk, object) = finished.recv().await.unwrap();
    assert_eq!((&chunk[..], &object[..]), (&b"a message"[..], &b"a message"[..]));
    assert_eq!((buffers.stats().in_use, objects.stats().in_use), (1, 1));
    drop((chunk, object));
    assert_eq!((buffers.stats().in_use, objects.stats().in_use), (0, 0));
}
