//! Apache's name server and broker, from the jars that `.ci/peers-install` fetches, as processes
//! that go when the test ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{Client, ClientConfig};

/// Both of them.
pub(crate) struct Apache {
    processes: Vec<Child>,
    home: PathBuf,
    pub(crate) name_server: String,
}

impl Drop for Apache {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Until both are there, on a small machine that does other things as well.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Where the jars and other programs' parts are.
pub(crate) fn peers() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(own, PathBuf::from);
    target.join("peers/clients")
}

/// A port that is free, with its neighbours, as far as that can be known.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Apache {
    pub(crate) async fn start<B: Backend>(backend: &B) -> Self {
        let (name_server_port, broker_port) = (free_port(), free_port());
        let name = format!("turbopump-apache-{}-{broker_port}", std::process::id());
        let home = std::env::temp_dir().join(name);
        fs::create_dir_all(home.join("store")).expect("a folder");
        let name_server = format!("127.0.0.1:{name_server_port}");
        let store = home.join("store");
        let settings = format!(
            "bindAddress=127.0.0.1\nlistenPort={name_server_port}\nrocketmqHome={}\n",
            home.display()
        );
        fs::write(home.join("namesrv.conf"), settings).expect("a file");
        // It notes the ends of transactions every three seconds; what it asked about before that it
        // would deliver twice.
        let settings = format!(
            "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\n\
             bindAddress=127.0.0.1\nbrokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\n\
             listenPort={broker_port}\nhaListenPort={}\nnamesrvAddr={name_server}\n\
             storePathRootDir={store}\nstorePathCommitLog={store}/commitlog\n\
             mappedFileSizeCommitLog=67108864\ndiskMaxUsedSpaceRatio=98\n\
             autoCreateTopicEnable=true\nwaitTimeMillsInSendQueue=20000\n\
             transactionCheckInterval=2000\ntransactionTimeOut=6000\n",
            broker_port + 1,
            store = store.display(),
        );
        fs::write(home.join("broker.conf"), settings).expect("a file");
        let processes = [
            ("org.apache.rocketmq.namesrv.NamesrvStartup", "namesrv.conf", "128m"),
            ("org.apache.rocketmq.broker.BrokerStartup", "broker.conf", "512m"),
        ];
        let processes = processes.map(|(class, file, memory)| java(&home, class, file, memory));
        let apache = Self { processes: processes.into(), home, name_server };
        apache.wait_until_ready(backend).await;
        apache
    }

    async fn wait_until_ready<B: Backend>(&self, backend: &B) {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let mut config = ClientConfig::new(&self.name_server);
            config.send.timeout_us = 2_000_000;
            if let Ok(client) = Client::start(backend.clone(), config).await {
                let described = client.admin().describe_topic("TBW102").await;
                client.close().await;
                if described.is_ok_and(|topic| !topic.brokers.is_empty()) {
                    return;
                }
            }
            assert!(Instant::now() < end, "Apache's broker is not ready: {}", self.output());
            backend.sleep_until(Instant::now() + Duration::from_millis(100)).await;
        }
    }

    fn output(&self) -> String {
        let said = ["namesrv.conf.out", "broker.conf.out"].map(|name| self.home.join(name));
        said.map(|path| fs::read_to_string(path).unwrap_or_default()).join("\n")
    }
}

fn java(home: &Path, class: &str, file: &str, memory: &str) -> Child {
    let jars = peers().join("jars");
    assert!(jars.is_dir(), "{} is missing: run .ci/peers-install", jars.display());
    let out = fs::File::create(home.join(format!("{file}.out"))).expect("a file");
    Command::new("java")
        .arg(format!("-Xmx{memory}"))
        .arg(format!("-Duser.home={}", home.display()))
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .args([class, "-c"])
        .arg(home.join(file))
        .env("ROCKETMQ_HOME", home)
        .env_remove("NAMESRV_ADDR")
        .current_dir(home)
        .stdin(Stdio::null())
        .stderr(out.try_clone().expect("a file"))
        .stdout(out)
        .spawn()
        .expect("java: run .ci/peers-install")
}
