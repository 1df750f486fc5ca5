//! The simulation: the client and the embedded broker as they are, on a backend with its own time
//! and its own network, which goes wrong in every way that a seed can think of.
//!
//! | module | decides |
//! | --- | --- |
//! | `backend` | who runs next, and what time it is |
//! | `net` | when bytes arrive, and how many at once |
//! | `faults` | what can go wrong |
//! | `sensor` | what a device sends, by the core's engine alone |
//! | `world` | who sends what, and when something goes wrong |
//! | `check` | what must be true whatever goes wrong |

mod backend;
mod check;
mod faults;
mod net;
mod sensor;
mod world;

pub use backend::{Left, Sim, Stuck};
pub use check::Violation;
pub use faults::{FaultCounts, FaultKind};
pub use net::{Half, Listener};
pub use world::{Outcome, run};
