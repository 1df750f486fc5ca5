//! Answers to HTTP requests: which page, in which form, and the server around them.

mod io;
mod negotiate;
mod reply;
mod router;
mod server;

pub use reply::Reply;

pub(super) use io::Joined;
pub(super) use negotiate::prefers_html;
pub(super) use reply::Route;
pub(super) use router::{Pages, Router, gzip, not_allowed, not_found, respond_with};
pub(super) use server::Server;
