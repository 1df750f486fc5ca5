//! What a page answers.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A page's answer; the router adds what HTTP wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status; 200 where all is well.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The content.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer of this type, with status 200.
    #[must_use]
    pub fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type, body: body.into() }
    }

    /// JSON.
    #[must_use]
    pub fn json(body: String) -> Self {
        Self::new("application/json", body)
    }

    /// A page for browsers.
    #[must_use]
    pub fn html(body: String) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// Plain text.
    #[must_use]
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::new("text/plain; charset=utf-8", body)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

/// Makes a page when it is asked for.
pub(in super::super) type Route = Arc<dyn Fn() -> Reply + Send + Sync>;
