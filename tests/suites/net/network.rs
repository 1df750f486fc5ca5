//! Pools by name, and both runtimes in one process.

use turbopump_std::backend::Backend;
use turbopump_std::net::{AcquireError, Network, NetworkConfig, NetworkError, PoolSettings};

use crate::on_every_backend;
use crate::peers::Peer;
use crate::pooling::ping;

on_every_backend![pools_are_found_by_name, networks_do_not_know_each_other];

fn config(peers: &[(&str, &Peer)]) -> NetworkConfig {
    peers.iter().fold(NetworkConfig::new(), |config, (name, peer)| {
        let endpoint = peer.address().to_string();
        config.pool(name, &endpoint, PoolSettings::default()).unwrap()
    })
}

async fn pools_are_found_by_name<B: Backend>(backend: B) {
    let (nameserver, broker) = (Peer::echo(), Peer::echo());
    let network =
        Network::new(backend, config(&[("nameserver", &nameserver), ("broker", &broker)])).unwrap();
    ping(&mut network.pool("broker").unwrap().get().await.unwrap()).await;
    assert!(network.pool("proxy").is_none());
    assert_eq!((nameserver.accepted(), broker.accepted()), (0, 1));
    let names: Vec<_> = network.status().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["broker", "nameserver"]);

    let again = network.add("broker", broker.endpoint(), PoolSettings::default());
    assert!(matches!(again, Err(NetworkError::NameTaken { .. })));
    let removed = network.remove("broker").unwrap();
    network.add("broker", broker.endpoint(), PoolSettings::default()).unwrap();
    ping(&mut removed.get().await.unwrap()).await;

    network.close().await;
    let closed = network.add("proxy", broker.endpoint(), PoolSettings::default());
    assert_eq!(closed.unwrap_err(), NetworkError::Closed);
    ping(&mut removed.get().await.unwrap()).await;
}

async fn networks_do_not_know_each_other<B: Backend>(backend: B) {
    let peer = Peer::echo();
    let first = Network::new(backend.clone(), config(&[("broker", &peer)])).unwrap();
    let second = Network::new(backend, config(&[("broker", &peer)])).unwrap();
    let pool = first.pool("broker").unwrap();
    drop(pool.get().await.unwrap());
    let second_pool = second.pool("broker").unwrap();
    ping(&mut second_pool.get().await.unwrap()).await;
    first.close().await;
    assert!(matches!(pool.get().await, Err(AcquireError::Closed)));
    ping(&mut second_pool.get().await.unwrap()).await;
}

#[test]
fn there_is_one_default_for_each_kind_of_backend() {
    let backend = turbopump::smol::Backend::new();
    assert!(turbopump::smol::Network::default_instance().is_none());
    let network = Network::new(backend.clone(), NetworkConfig::new()).unwrap();
    network.set_default().unwrap();
    let peer = Peer::echo();
    let default = turbopump::smol::Network::default_instance().unwrap();
    default.add("broker", peer.endpoint(), PoolSettings::default()).unwrap();
    assert!(turbopump::smol::Network::default_instance().unwrap().pool("broker").is_some());
    let other = Network::new(backend, NetworkConfig::new()).unwrap();
    assert!(other.set_default().is_err());
    assert!(turbopump::tokio::Network::default_instance().is_none());
}

#[test]
fn both_runtimes_in_one_process() {
    let peer = Peer::echo();
    crate::on_tokio(true, async || {
        let on_tokio = turbopump::tokio::ConnectionPool::new(
            turbopump::tokio::Backend::new(),
            peer.endpoint(),
            PoolSettings::default(),
        );
        let on_tokio = on_tokio.unwrap();
        let pool = on_tokio.clone();
        let endpoint = peer.endpoint();
        let smol = std::thread::spawn(move || {
            ::smol::block_on(async {
                let backend = turbopump::smol::Backend::new();
                let settings = PoolSettings::default();
                let on_smol =
                    turbopump::smol::ConnectionPool::new(backend, endpoint, settings).unwrap();
                for _ in 0..100 {
                    ping(&mut on_smol.get().await.unwrap()).await;
                    // Tokio's sockets and timers serve a thread that knows nothing of tokio.
                    ping(&mut pool.get().await.unwrap()).await;
                }
            });
        });
        for _ in 0..100 {
            ping(&mut on_tokio.get().await.unwrap()).await;
        }
        smol.join().unwrap();
    });
}
