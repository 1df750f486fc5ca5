//! Brokers among themselves.

use crate::rocketmq::wire::json::Text;

commands! {
    /// Request 902.
    AddBrokerRequestHeader<'a> {
        config_path: Option<Text<'a>> = "configPath",
    }

    /// Request 354.
    CheckRocksdbCqWriteProgressRequestHeader<'a> {
        topic: Text<'a> = "topic",
        check_store_time: i64 = "checkStoreTime" or 0,
    }

    /// Request 906.
    ExchangeHAInfoRequestHeader<'a> {
        master_ha_address: Option<Text<'a>> = "masterHaAddress",
        master_flush_offset: Option<i64> = "masterFlushOffset",
        master_address: Option<Text<'a>> = "masterAddress",
    }

    /// The answer to request 906.
    ExchangeHAInfoResponseHeader<'a> {
        master_ha_address: Option<Text<'a>> = "masterHaAddress",
        master_flush_offset: Option<i64> = "masterFlushOffset",
        master_address: Option<Text<'a>> = "masterAddress",
    }

    /// Request 355.
    ExportRocksDBConfigToJsonRequestHeader<'a> {
        type_name: Option<Text<'a>> = "typeName",
        config_type: Text<'a> = "configType",
    }

    /// Request 901.
    GetBrokerMemberGroupRequestHeader<'a> {
        cluster_name: Text<'a> = "clusterName",
        broker_name: Text<'a> = "brokerName",
    }

    /// Request 1008.
    NotifyBrokerRoleChangedRequestHeader<'a> {
        master_address: Option<Text<'a>> = "masterAddress",
        master_epoch: Option<i32> = "masterEpoch",
        sync_state_set_epoch: Option<i32> = "syncStateSetEpoch",
        master_broker_id: Option<i64> = "masterBrokerId",
    }

    /// Request 905.
    NotifyMinBrokerIdChangeRequestHeader<'a> {
        min_broker_id: Option<i64> = "minBrokerId",
        broker_name: Option<Text<'a>> = "brokerName",
        min_broker_addr: Option<Text<'a>> = "minBrokerAddr",
        offline_broker_addr: Option<Text<'a>> = "offlineBrokerAddr",
        ha_broker_addr: Option<Text<'a>> = "haBrokerAddr",
    }

    /// Request 903.
    RemoveBrokerRequestHeader<'a> {
        broker_name: Text<'a> = "brokerName",
        broker_cluster_name: Text<'a> = "brokerClusterName",
        broker_id: i64 = "brokerId",
    }

    /// Request 908.
    ResetMasterFlushOffsetHeader {
        master_flush_offset: i64 = "masterFlushOffset",
    }
}
