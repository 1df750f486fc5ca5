//! What a client of RocketMQ decides: whom it asks, what it does about failures, and when.
//!
//! Values without storage of their own: time and randomness are arguments, and whoever holds them
//! does the sending.
//!
//! | module | decides | leaves to its caller |
//! | --- | --- | --- |
//! | `name_servers` | what a list of name servers says | looking names up, connecting |
//! | `busy` | what a busy broker means by its remark | when to ask again |
//! | `health` | whether a broker is avoided, and when it is tried again | sending |
//! | `attempts` | how often something is sent, for how long, and after which pause | sending |
//! | `selection` | which queue is next | what a queue is |
//! | `ids` | what the id of a message is | counting |
//! | `topics` | which topics may be sent to | whether they are there |
//! | `status` | how safe a message is that was taken | whether that is enough |

// What comes from peers and users: every sum and index has to say what happens out of range.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod attempts;
mod busy;
mod health;
mod ids;
mod name_servers;
mod selection;
mod status;
mod topics;

pub use attempts::{Attempt, Attempts, Failure, SendPolicy, Verdict, is_worth_a_retry};
pub use busy::{Busy, BusyKind};
pub use health::{Health, HealthState};
pub use ids::MessageIds;
pub use name_servers::{InvalidNameServer, NameServer, NameServers, name_servers};
pub(crate) use selection::place_of_hash;
pub use selection::{Preference, RoundRobin, place_of_key};
pub use status::SendStatus;
pub use topics::{TOPIC_BYTES_MAX, topic_problem};
