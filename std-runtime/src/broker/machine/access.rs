//! Who may ask for anything: those whose signature is right, where signatures are asked for.

use turbopump_core::rocketmq::wire::acl::Credentials;
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};

impl Broker {
    /// Checks the signature of a request, of whatever kind.
    pub(super) fn check_access(&mut self, frame: &Frame<'_>) -> Outcome {
        if self.config.users.is_empty() {
            return Ok(());
        }
        let key = frame.ext.get("AccessKey").ok().flatten().map(plain);
        let user = key.and_then(|key| self.config.users.iter().find(|u| u.access_key == key));
        let is_right = user.is_some_and(|user| {
            let credentials = Credentials::new(&user.access_key, &user.secret_key);
            credentials.verify(frame).unwrap_or(false)
        });
        if is_right {
            return Ok(());
        }
        self.counts.requests_unsigned += 1;
        Err(Refusal::new(response_code::NO_PERMISSION, "check signature failed."))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use turbopump_core::rocketmq::wire::acl::Credentials;
    use turbopump_core::rocketmq::wire::header::request_code;

    use crate::broker::machine::kit::Kit;
    use crate::broker::{BrokerConfig, User};

    #[test]
    fn whoever_does_not_sign_is_refused() {
        let mut config = BrokerConfig::default();
        let secret_key = "do not show this".into();
        config.users = vec![User { access_key: "somebody".into(), secret_key }];
        assert!(!alloc::format!("{config:?}").contains("do not show this"));
        let mut kit = Kit::with(config, false);
        let client = kit.connect();
        let fields = [
            ("consumerGroup", "billing"),
            ("topic", "TBW102"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "1"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", "0"),
        ];
        let mut ask = |access_key, secret_key| {
            let signed = Credentials::new(access_key, secret_key).sign(fields, b"").unwrap();
            kit.ask(client, request_code::PULL_MESSAGE, &signed, b"").code
        };
        assert_eq!(ask("somebody", "do not show this"), 19);
        assert_eq!(ask("somebody", "do not show that"), 16);
        assert_eq!(ask("nobody", "do not show this"), 16);
        let got = kit.ask(client, request_code::PULL_MESSAGE, &fields, b"");
        assert_eq!((got.code, &*got.remark), (16, "check signature failed."));
        assert_eq!(kit.broker.counts().requests_unsigned, 3);
    }
}
