//! Every command: all fields, each field missing, fields that nobody knows.

use turbopump_core::rocketmq::wire::command::*;
use turbopump_core::rocketmq::wire::header::{Header, Serialization};

type Fields = Vec<(String, String)>;

/// Writes fields and has a command read and write them.
type Through = fn(Serialization, &[(&str, &str)]) -> Result<Fields, CommandError>;

fn written(serialization: Serialization, fields: &[(&str, &str)], memory: &mut [u8]) -> usize {
    Header::request(1, 1).encode(serialization, fields, memory).expect("room enough")
}

fn reread<'a, C: Command<'a>>(
    serialization: Serialization,
    bytes: &'a [u8],
) -> Result<Fields, CommandError> {
    let (header, ext) = Header::decode(serialization, bytes).expect("a header");
    let command = C::decode(&ext)?;
    let mut memory = [0; 4096];
    let len = header.encode(serialization, &command, &mut memory).expect("room enough");
    let (_, ext) = Header::decode(serialization, &memory[..len]).expect("a header");
    let field = |field: turbopump_core::rocketmq::wire::header::ExtField<'_>| {
        let (name, value) = (field.name().expect("UTF-8"), field.value().expect("UTF-8"));
        (name.to_string(), value.map(|value| value.to_string()).unwrap_or_default())
    };
    Ok(ext.iter().map(field).collect())
}

/// Numbers are texts as well, and for booleans they are false.
fn check(name: &str, fields: &[&'static str], through: Through) {
    let values: Vec<String> = (7..).take(fields.len()).map(|value| format!("-{value}")).collect();
    let all: Vec<(&str, &str)> =
        fields.iter().copied().zip(values.iter().map(String::as_str)).collect();
    for serialization in [Serialization::Json, Serialization::Rocketmq] {
        let mut unknown = all.clone();
        unknown.push(("nobodyKnows", "this"));
        let written = through(serialization, &unknown);
        let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(written.len(), all.len(), "{name}: {written:?}");
        for ((field, value), (given, number)) in written.iter().zip(&all) {
            assert_eq!(field, given, "{name}");
            assert!(value == number || value == "false", "{name}: {field} is {value}");
        }
        for (boolean, _) in written.iter().filter(|(_, value)| value == "false") {
            let mut all = all.clone();
            all.iter_mut().filter(|(field, _)| field == boolean).for_each(|one| one.1 = "tRue");
            let written = through(serialization, &all).expect("all is there");
            assert!(written.contains(&(boolean.clone(), "true".into())), "{name}: {boolean}");
        }
        for (without, missing) in fields.iter().enumerate() {
            let mut some = all.clone();
            some.remove(without);
            match through(serialization, &some) {
                Err(error) => assert_eq!(error, CommandError::Missing { field: missing }, "{name}"),
                Ok(written) => {
                    // An optional field stays away, one with a default comes back with that.
                    let back = written.iter().find(|(field, _)| field == missing);
                    assert_ne!(back.map(|(_, value)| value), Some(&values[without]), "{name}");
                    assert!(written.len() + 1 >= all.len(), "{name}: {written:?}");
                }
            }
        }
    }
}

macro_rules! check_all {
    ($($command:ty,)*) => {$({
        fn through(
            serialization: Serialization,
            fields: &[(&str, &str)],
        ) -> Result<Fields, CommandError> {
            let mut memory = [0; 4096];
            let len = written(serialization, fields, &mut memory);
            reread::<$command>(serialization, &memory[..len])
        }
        check(<$command as Command<'_>>::NAME, <$command as Command<'_>>::FIELDS, through);
    })*};
}

#[test]
fn all_commands_are_read_as_they_are_written() {
    check_all! {
        AckMessageRequestHeader<'_>,
        AddBrokerRequestHeader<'_>,
        AddWritePermOfBrokerRequestHeader<'_>,
        AddWritePermOfBrokerResponseHeader,
        BrokerHeartbeatRequestHeader<'_>,
        ChangeInvisibleTimeRequestHeader<'_>,
        ChangeInvisibleTimeResponseHeader,
        CheckRocksdbCqWriteProgressRequestHeader<'_>,
        CheckTransactionStateRequestHeader<'_>,
        CheckTransactionStateResponseHeader<'_>,
        CloneGroupOffsetRequestHeader<'_>,
        ConsumeMessageDirectlyResultRequestHeader<'_>,
        ConsumerSendMsgBackRequestHeader<'_>,
        CreateAclRequestHeader<'_>,
        CreateTopicListRequestHeader<'_>,
        CreateTopicRequestHeader<'_>,
        CreateUserRequestHeader<'_>,
        DeleteAclRequestHeader<'_>,
        DeleteKVConfigRequestHeader<'_>,
        DeleteSubscriptionGroupRequestHeader<'_>,
        DeleteTopicFromNamesrvRequestHeader<'_>,
        DeleteTopicRequestHeader<'_>,
        DeleteUserRequestHeader<'_>,
        EndTransactionRequestHeader<'_>,
        EndTransactionResponseHeader,
        ExchangeHAInfoRequestHeader<'_>,
        ExchangeHAInfoResponseHeader<'_>,
        ExportRocksDBConfigToJsonRequestHeader<'_>,
        GetAclRequestHeader<'_>,
        GetAllProducerInfoRequestHeader,
        GetAllSubscriptionGroupRequestHeader<'_>,
        GetAllSubscriptionGroupResponseHeader,
        GetAllTopicConfigRequestHeader<'_>,
        GetAllTopicConfigResponseHeader,
        GetBrokerConfigResponseHeader<'_>,
        GetBrokerMemberGroupRequestHeader<'_>,
        GetConsumeStatsInBrokerHeader,
        GetConsumeStatsRequestHeader<'_>,
        GetConsumerConnectionListRequestHeader<'_>,
        GetConsumerListByGroupRequestHeader<'_>,
        GetConsumerListByGroupResponseHeader,
        GetConsumerRunningInfoRequestHeader<'_>,
        GetConsumerStatusRequestHeader<'_>,
        GetEarliestMsgStoretimeRequestHeader<'_>,
        GetEarliestMsgStoretimeResponseHeader,
        GetKVConfigRequestHeader<'_>,
        GetKVConfigResponseHeader<'_>,
        GetKVListByNamespaceRequestHeader<'_>,
        GetMaxOffsetRequestHeader<'_>,
        GetMaxOffsetResponseHeader,
        GetMinOffsetRequestHeader<'_>,
        GetMinOffsetResponseHeader,
        GetProducerConnectionListRequestHeader<'_>,
        GetRouteInfoRequestHeader<'_>,
        GetSubscriptionGroupConfigRequestHeader<'_>,
        GetTopicConfigRequestHeader<'_>,
        GetTopicStatsInfoRequestHeader<'_>,
        GetTopicsByClusterRequestHeader<'_>,
        GetUserRequestHeader<'_>,
        HeartbeatRequestHeader<'_>,
        InitConsumerOffsetRequestHeader<'_>,
        ListAclsRequestHeader<'_>,
        ListUsersRequestHeader<'_>,
        LockBatchMqRequestHeader<'_>,
        NotificationRequestHeader<'_>,
        NotificationResponseHeader,
        NotifyBrokerRoleChangedRequestHeader<'_>,
        NotifyConsumerIdsChangedRequestHeader<'_>,
        NotifyMinBrokerIdChangeRequestHeader<'_>,
        PeekMessageRequestHeader<'_>,
        PollingInfoRequestHeader<'_>,
        PollingInfoResponseHeader,
        PopMessageRequestHeader<'_>,
        PopMessageResponseHeader<'_>,
        PullMessageRequestHeader<'_>,
        PullMessageResponseHeader,
        PutKVConfigRequestHeader<'_>,
        QueryConsumeQueueRequestHeader<'_>,
        QueryConsumeTimeSpanRequestHeader<'_>,
        QueryConsumerOffsetRequestHeader<'_>,
        QueryConsumerOffsetResponseHeader,
        QueryCorrectionOffsetHeader<'_>,
        QueryDataVersionRequestHeader<'_>,
        QueryDataVersionResponseHeader,
        QueryMessageRequestHeader<'_>,
        QueryMessageResponseHeader,
        QuerySubscriptionByConsumerRequestHeader<'_>,
        QueryTopicConsumeByWhoRequestHeader<'_>,
        QueryTopicsByConsumerRequestHeader<'_>,
        RecallMessageRequestHeader<'_>,
        RecallMessageResponseHeader<'_>,
        RegisterBrokerRequestHeader<'_>,
        RegisterBrokerResponseHeader<'_>,
        RegisterOrderTopicRequestHeader<'_>,
        RegisterTopicRequestHeader<'_>,
        RemoveBrokerRequestHeader<'_>,
        ReplyMessageRequestHeader<'_>,
        ResetMasterFlushOffsetHeader,
        ResetOffsetRequestHeader<'_>,
        ResumeCheckHalfMessageRequestHeader<'_>,
        SearchOffsetRequestHeader<'_>,
        SearchOffsetResponseHeader,
        SendMessageRequestHeader<'_>,
        SendMessageRequestHeaderV2<'_>,
        SendMessageResponseHeader<'_>,
        StatisticsMessagesRequestHeader<'_>,
        UnRegisterBrokerRequestHeader<'_>,
        UnlockBatchMqRequestHeader<'_>,
        UnregisterClientRequestHeader<'_>,
        UnregisterClientResponseHeader,
        UpdateAclRequestHeader<'_>,
        UpdateConsumerOffsetRequestHeader<'_>,
        UpdateConsumerOffsetResponseHeader,
        UpdateGroupForbiddenRequestHeader<'_>,
        UpdateUserRequestHeader<'_>,
        ViewBrokerStatsDataRequestHeader<'_>,
        ViewMessageRequestHeader<'_>,
        ViewMessageResponseHeader,
        WipeWritePermOfBrokerRequestHeader<'_>,
        WipeWritePermOfBrokerResponseHeader,
    }
}
