//! Clients come and go.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 34.
    HeartbeatRequestHeader<'a> + base {
    }

    /// Request 35.
    UnregisterClientRequestHeader<'a> + base {
        client_id: Text<'a> = "clientID",
        producer_group: Option<Text<'a>> = "producerGroup",
        consumer_group: Option<Text<'a>> = "consumerGroup",
    }

    /// The answer to request 35.
    UnregisterClientResponseHeader {
    }
}
