//! Bodies.

use crate::Checker;

/// The kinds that are checked here.
pub(crate) const KINDS: &[(&str, Checker)] = &[];
