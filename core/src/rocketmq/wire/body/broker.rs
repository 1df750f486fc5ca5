//! Users, policies and what else is asked of a broker.

use super::{List, SubscriptionData};
use crate::rocketmq::wire::json::Text;

bodies! {
    /// The body of requests 3001 and 3002, and the answer to 3004.
    UserInfo<'a> {
        password: Option<Text<'a>> = "password",
        user_status: Option<Text<'a>> = "userStatus",
        user_type: Option<Text<'a>> = "userType",
        username: Option<Text<'a>> = "username",
    }

    /// What a policy says about a resource.
    PolicyEntryInfo<'a> {
        actions: List<'a, Text<'a>> = "actions",
        decision: Option<Text<'a>> = "decision",
        resource: Option<Text<'a>> = "resource",
        source_ips: List<'a, Text<'a>> = "sourceIps",
    }

    /// A policy.
    PolicyInfo<'a> {
        entries: List<'a, PolicyEntryInfo<'a>> = "entries",
        policy_type: Option<Text<'a>> = "policyType",
    }

    /// The body of requests 3006 and 3007, and the answer to 3009.
    AclInfo<'a> {
        policies: List<'a, PolicyInfo<'a>> = "policies",
        subject: Option<Text<'a>> = "subject",
    }

    /// The answer to request 353.
    GroupForbidden<'a> {
        group: Option<Text<'a>> = "group",
        readable: Option<bool> = "readable",
        topic: Option<Text<'a>> = "topic",
    }

    /// The answer to request 345.
    QuerySubscriptionResponseBody<'a> {
        group: Option<Text<'a>> = "group",
        subscription_data: Option<SubscriptionData<'a>> = "subscriptionData",
        topic: Option<Text<'a>> = "topic",
    }
}
