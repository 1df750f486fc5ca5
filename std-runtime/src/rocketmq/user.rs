//! Who signs requests, or may.

use core::fmt;

use alloc::string::String;

use turbopump_core::rocketmq::wire::acl::Credentials;

/// Somebody who signs requests. The secret is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The access key, or user name.
    pub access_key: String,
    /// The secret key, or password.
    pub secret_key: String,
}

impl User {
    /// Signs with them.
    #[must_use]
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials::new(&self.access_key, &self.secret_key)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}
