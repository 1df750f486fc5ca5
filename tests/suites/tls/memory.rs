//! Over transports in memory that fragment, stall and are dropped.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io::IoSlice;

use futures_io::AsyncWrite;
use smol::future::{block_on, poll_fn, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use turbopump_std::net::tls::{TlsError, TlsReader, TlsWriter};

use crate::pipe::{Habits, PipeReader, PipeWriter, SINGLE_BYTES, SMOOTH, connection};
use turbopump_tests::certificates::{Authority, server, trusting};

type Halves = (TlsReader<PipeReader>, TlsWriter<PipeWriter>);

async fn secured(habits: Habits) -> (Halves, Halves) {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let server = server(authority.server(&["broker.example"]));
    let (near, far) = connection(habits);
    let near = client.connect_over("broker.example", near.0, near.1);
    let (near, far) = zip(near, server.accept_over(far.0, far.1)).await;
    (near.unwrap(), far.unwrap())
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * seed / 7) as u8).collect()
}

#[test]
fn single_bytes_arrive_whole_both_ways_at_once() {
    block_on(async {
        let (near, far) = secured(SINGLE_BYTES).await;
        let (up, down) = (pattern(300_000, 3), pattern(200_000, 5));
        let send = async |mut writer: TlsWriter<PipeWriter>, bytes: &[u8]| {
            writer.write_all(bytes).await.unwrap();
            writer.close().await.unwrap();
        };
        let receive = async |mut reader: TlsReader<PipeReader>, bytes: &[u8]| {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
        };
        let near = zip(send(near.1, &up), receive(near.0, &down));
        zip(near, zip(send(far.1, &down), receive(far.0, &up))).await;
    });
}

#[test]
fn slices_are_written_in_order() {
    block_on(async {
        let ((_, mut writer), (mut reader, _far)) = secured(SMOOTH).await;
        let slices = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
        let written = poll_fn(|cx| Pin::new(&mut writer).poll_write_vectored(cx, &slices)).await;
        assert_eq!(written.unwrap(), 13);
        writer.close().await.unwrap();
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"one two three");
    });
}

#[test]
fn reading_goes_on_while_writing_is_stalled() {
    block_on(async {
        let habits = Habits { capacity: 4_096, ..SMOOTH };
        let ((mut reader, mut writer), (_unread, mut far_writer)) = secured(habits).await;
        let cx = &mut Context::from_waker(Waker::noop());
        let mut taken = 0;
        while let Poll::Ready(count) = Pin::new(&mut writer).poll_write(cx, &[7; 1_000]) {
            taken += count.unwrap();
            assert!(taken < 100_000, "what is under way has a bound");
        }
        let bytes = pattern(100_000, 3);
        let mut received = vec![0; bytes.len()];
        let send = async {
            far_writer.write_all(&bytes).await.unwrap();
            far_writer.flush().await.unwrap();
        };
        zip(send, async { reader.read_exact(&mut received).await.unwrap() }).await;
        assert!(received == bytes);
        assert!(Pin::new(&mut writer).poll_write(cx, &[7]).is_pending());
    });
}

#[test]
fn a_changed_byte_is_noticed_and_the_peer_is_told() {
    block_on(async {
        let authority = Authority::new("ours");
        let client = trusting(&authority);
        let server = server(authority.server(&["broker.example"]));
        // A machine in the middle that relays, and changes what goes up once it is told to.
        let (near, mut near_middle) = connection(SMOOTH);
        let (mut far_middle, far) = connection(SMOOTH);
        let change = core::sync::atomic::AtomicBool::new(false);
        let relay_up = async {
            let mut bytes = [0; 1_024];
            while let Ok(count @ 1..) = near_middle.0.read(&mut bytes).await {
                if change.load(core::sync::atomic::Ordering::Relaxed) {
                    bytes[count - 1] ^= 1;
                }
                far_middle.1.write_all(&bytes[..count]).await.unwrap();
            }
        };
        let relay_down = async {
            let mut bytes = [0; 1_024];
            while let Ok(count @ 1..) = far_middle.0.read(&mut bytes).await {
                near_middle.1.write_all(&bytes[..count]).await.unwrap();
            }
        };
        let ends = async {
            let near = client.connect_over("broker.example", near.0, near.1);
            let (near, far) = zip(near, server.accept_over(far.0, far.1)).await;
            let ((mut reader, mut writer), (mut far_reader, mut far_writer)) =
                (near.unwrap(), far.unwrap());
            change.store(true, core::sync::atomic::Ordering::Relaxed);
            writer.write_all(b"pay 10").await.unwrap();
            writer.flush().await.unwrap();
            let error = far_reader.read(&mut [0; 16]).await.unwrap_err();
            assert!(matches!(TlsError::of(&error), Some(TlsError::Protocol { .. })), "{error}");
            let error = far_writer.write(b"late").await.unwrap_err();
            assert!(matches!(TlsError::of(&error), Some(TlsError::Protocol { .. })), "{error}");
            let error = reader.read(&mut [0; 16]).await.unwrap_err();
            let refused = matches!(
                TlsError::of(&error),
                Some(TlsError::PeerRefused { alert }) if &**alert == "BadRecordMac"
            );
            assert!(refused, "{error}");
        };
        zip(ends, zip(relay_up, relay_down)).await;
    });
}

#[test]
fn a_handshake_dropped_at_any_point_closes_the_connection() {
    let authority = Authority::new("ours");
    let client = trusting(&authority);
    let server = server(authority.server(&["broker.example"]));
    let habits = Habits { fragment: 100, hesitates: true, ..SMOOTH };
    let cx = &mut Context::from_waker(Waker::noop());
    for polls_before_drop in 0.. {
        let (near, far) = connection(habits);
        let mut server = pin!(server.accept_over(far.0, far.1));
        {
            let mut client = Box::pin(client.connect_over("broker.example", near.0, near.1));
            let mut done = false;
            for _ in 0..polls_before_drop {
                done = client.as_mut().poll(cx).is_ready();
                let _ = !done && server.as_mut().poll(cx).is_ready();
                if done {
                    break;
                }
            }
            if done {
                assert!(polls_before_drop > 10, "too few points to drop at");
                return;
            }
        }
        let result = block_on(server);
        assert!(
            matches!(result.map(drop), Err(TlsError::PeerClosed | TlsError::Transport(_))),
            "dropped after {polls_before_drop} polls"
        );
    }
}
