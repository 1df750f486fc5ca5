//! Clients that are there: heartbeats, groups and their members.

use turbopump_core::rocketmq::wire::header::response_code;

use super::Broker;
use super::answer::{Outcome, Refusal};
use super::topics::check_name;

impl Broker {
    /// A group that nobody has made.
    pub(super) fn create_group(&mut self, name: &str) -> Outcome {
        let not_there = |remark| Refusal::new(response_code::SUBSCRIPTION_GROUP_NOT_EXIST, remark);
        if !self.config.auto_create_groups {
            return Err(not_there(alloc::format!("subscription group [{name}] does not exist")));
        }
        if let Err(reason) = check_name(name) {
            return Err(not_there(alloc::format!("the group name [{name}] {reason}")));
        }
        if self.groups.len() >= self.config.limits.groups_max {
            return Err(not_there(alloc::format!(
                "there are {} groups already; delete some",
                self.config.limits.groups_max
            )));
        }
        self.groups.make(name);
        self.state.group_changed(name);
        Ok(())
    }
}
