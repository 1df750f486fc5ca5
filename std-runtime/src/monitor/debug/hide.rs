//! What of a setting is shown: nothing that could be a secret.

use alloc::format;
use alloc::string::String;

/// In place of what is hidden.
const HIDDEN: &str = "(hidden)";

/// Words of names and values behind which there is something to hide.
const WORDS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "authorization",
    "bearer ",
    "private",
    "key",
];

/// The value as it may be seen: of a URL its scheme and host, because users, paths and queries
/// hold passwords and tokens; nothing where name or value speak of secrets.
pub(super) fn shown(name: &str, value: &str) -> String {
    let speaks = |text: &str| {
        let text = text.to_ascii_lowercase();
        WORDS.iter().any(|word| text.contains(word))
    };
    let Some((scheme, rest)) = value.split_once("://") else {
        return if speaks(name) || speaks(value) { HIDDEN.into() } else { value.into() };
    };
    // Where there is a user, where the host begins is not certain enough.
    if speaks(name) || speaks(scheme) || rest.contains('@') {
        return HIDDEN.into();
    }
    let host_len = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-[]_".contains(c)));
    match host_len {
        Some(len) => format!("{scheme}://{}/{HIDDEN}", &rest[..len]),
        None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        for (name, value, expected) in [
            ("backend", "tokio", "tokio"),
            ("lanes", "4", "4"),
            ("api_token", "abc", HIDDEN),
            ("Password", "abc", HIDDEN),
            ("database", "host=x PASSWORD=y", HIDDEN),
            ("header", "Bearer abc", HIDDEN),
            ("influx", "http://host:8086", "http://host:8086"),
            ("influx", "http://host:8086/write?db=x&p=abc", "http://host:8086/(hidden)"),
            ("hook", "https://[::1]:80/services/T0/abc", "https://[::1]:80/(hidden)"),
            ("hook", "https://user:abc@host/", HIDDEN),
            ("hook", "https://user:a/bc@host/", HIDDEN),
            ("hook", "http://host#abc://x", "http://host/(hidden)"),
        ] {
            assert_eq!(shown(name, value), expected, "{name}={value}");
        }
    }
}
