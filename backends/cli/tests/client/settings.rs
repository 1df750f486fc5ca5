//! Settings: the command line counts more than the environment, which counts more than the file.

use std::{env, fs};

use crate::kit::{Broker, Settings, run, run_in};

const NAME_SERVERS: &str = "TURBOPUMP_CLIENT_NAME_SERVERS";
const TIMEOUT: &str = "TURBOPUMP_CLIENT_SEND_TIMEOUT_MS";

#[test]
fn name_servers_come_from_file_environment_and_command_line() {
    let broker = Broker::start();
    let there = format!("[client]\nname_servers = \"{}\"\n", broker.name_server);
    let (there, nowhere) = (
        Settings::new("there", &there),
        Settings::new("nowhere", "[client]\nname_servers = '127.0.0.1:1'\nsend_timeout_ms = 500\n"),
    );
    let list = |file: &Settings, variables: &[(&str, &str)], more: &[&str]| {
        let arguments = ["topic", "list", "--config", file.path()];
        run(&[&arguments, more].concat(), variables, "")
    };
    list(&there, &[], &[]).expect(0);
    list(&nowhere, &[], &[]).expect(2);
    let here = [(NAME_SERVERS, broker.name_server.as_str())];
    list(&nowhere, &here, &[]).expect(0);
    let elsewhere = [(NAME_SERVERS, "127.0.0.1:1"), (TIMEOUT, "500")];
    list(&there, &elsewhere, &[]).expect(2);
    list(&there, &elsewhere, &["--namesrv", &broker.name_server]).expect(0);
    run(&["topic", "list"], &here, "").expect(0);

    run(&["topic", "create", "Orders", "--config", there.path()], &[], "").expect(0);
    let produce = ["produce", "--topic", "Orders", "--json"];
    let sent = run(&[&produce[..], &["--config", there.path()]].concat(), &[], "a\nb\n").expect(0);
    assert_eq!(sent.json()["sent"], 2);
    let sent = run(&produce, &here, "a\nb\nc\n").expect(0);
    assert_eq!(sent.json()["sent"], 3);
}

/// Whatever goes well or wrong: whoever has no disk, or one that can't be written to, can use it.
#[test]
fn u25_no_file_is_made_anywhere() {
    let broker = Broker::start();
    let folder = env::temp_dir().join(format!("turbopump-cli-nothing-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let at = folder.to_str().unwrap();
    let homes = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"];
    let homes = homes.map(|name| (name, at));
    let server = ["--namesrv", &broker.name_server];
    let ran = |arguments: &[&str], server: &[&str], code| {
        run_in(&folder, &[arguments, server].concat(), &homes, "a\nb\n").expect(code)
    };
    ran(&["topic", "create", "Orders"], &server, 0);
    ran(&["produce", "--topic", "Orders"], &server, 0);
    ran(&["produce", "--topic", "Missing", "--timeout-ms", "500"], &server, 1);
    ran(&["topic", "list", "--timeout-ms", "500"], &["--namesrv", "127.0.0.1:1"], 2);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
}

#[test]
fn what_is_wrong_in_them_is_named() {
    let unknown = Settings::new("unknown", "[client]\nname_servers = 'a:1'\ntimeout = 5\n");
    for command in [&["topic", "list"][..], &["produce", "--topic", "Orders"]] {
        let with =
            |more: &[&str], variables| run(&[command, more].concat(), variables, "").expect(2);
        let ran = with(&["--config", unknown.path()], &[]);
        let expected = format!("{}, line 3: client.timeout is not known", unknown.path());
        assert!(ran.errors.contains(&expected), "{}", ran.errors);
        assert!(ran.errors.contains("send_timeout_ms"), "{}", ran.errors);
        let ran = with(&[], &[(TIMEOUT, "soon")]);
        assert!(ran.errors.contains("the environment: TURBOPUMP_CLIENT_SEND"), "{}", ran.errors);
        assert!(ran.errors.contains("from 1 to 86400000"), "{}", ran.errors);
        let ran = with(&["--config", "/nowhere/at-all.toml"], &[]);
        assert!(ran.errors.contains("/nowhere/at-all.toml: can't be read"), "{}", ran.errors);
    }
}
