//! Every future and handle can go to another thread.

use turbopump_core::link::Chunks;
use turbopump_std::backend::Backend;
use turbopump_std::memory::Chunk;
use turbopump_std::net::{Connection, ConnectionPool, Network};

fn assert_send<T: Send>(_: T) {}
fn assert_handle<T: Send + Sync + 'static>() {}

/// Never called: that it compiles, for any backend, is the test.
#[expect(dead_code)]
fn all_of_them<B: Backend>(
    pool: &ConnectionPool<B>,
    network: &Network<B>,
    connection: &mut Connection<B>,
    chunks: &mut Chunks<Chunk>,
) {
    assert_send(pool.get());
    assert_send(pool.get_within(core::time::Duration::ZERO));
    assert_send(pool.warm_up(1));
    assert_send(pool.close());
    assert_send(network.close());
    assert_send(connection.read(&mut []));
    assert_send(connection.read_exact(&mut []));
    assert_send(connection.write(&[]));
    assert_send(connection.write_chunks(chunks));
    assert_send(connection.flush());
    assert_send(connection.write_compressed(&[]));
    assert_send(connection.read_decompressed(&mut Vec::new()));
    assert_handle::<ConnectionPool<B>>();
    assert_handle::<Network<B>>();
}

#[test]
fn connections_go_to_other_threads() {
    assert_send(None::<Connection<turbopump::tokio::Backend>>);
    assert_send(None::<Connection<turbopump::smol::Backend>>);
    assert_send(None::<Connection<turbopump_tests::threads::Threads>>);
}
