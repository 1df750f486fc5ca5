//! Brokers of one name among themselves, and what their controller says.

use super::{BrokerMemberGroup, List, Map};
use crate::rocketmq::wire::json::Text;

bodies! {
    /// A broker of several with the same name.
    ReplicaIdentity<'a> {
        alive: Option<bool> = "alive",
        broker_address: Option<Text<'a>> = "brokerAddress",
        broker_id: Option<i64> = "brokerId",
        broker_name: Option<Text<'a>> = "brokerName",
    }

    /// Which brokers of a name hold what their master holds.
    ReplicasInfo<'a> {
        in_sync_replicas: List<'a, ReplicaIdentity<'a>> = "inSyncReplicas",
        master_address: Option<Text<'a>> = "masterAddress",
        master_broker_id: Option<i64> = "masterBrokerId",
        master_epoch: Option<i32> = "masterEpoch",
        not_in_sync_replicas: List<'a, ReplicaIdentity<'a>> = "notInSyncReplicas",
        sync_state_set_epoch: Option<i32> = "syncStateSetEpoch",
    }

    /// The answer to request 1006: replicas by the name of their brokers.
    BrokerReplicasInfo<'a> {
        replicas_info_table: Map<'a, Text<'a>, ReplicasInfo<'a>> = "replicasInfoTable",
    }

    /// The ids of the brokers that hold what their master holds; the body of request 1001.
    SyncStateSet<'a> {
        sync_state_set: List<'a, i64> = "syncStateSet",
        sync_state_set_epoch: i32 = "syncStateSetEpoch",
    }

    /// The answer to request 1002.
    ElectMasterResponseBody<'a> {
        broker_member_group: Option<BrokerMemberGroup<'a>> = "brokerMemberGroup",
        sync_state_set: List<'a, i64> = "syncStateSet",
    }

    /// A new master, and what follows from it.
    RoleChangeNotifyEntry<'a> {
        broker_member_group: Option<BrokerMemberGroup<'a>> = "brokerMemberGroup",
        master_address: Option<Text<'a>> = "masterAddress",
        master_broker_id: Option<i64> = "masterBrokerId",
        master_epoch: i32 = "masterEpoch",
        sync_state_set: List<'a, i64> = "syncStateSet",
        sync_state_set_epoch: i32 = "syncStateSetEpoch",
    }

    /// The part of a log that one master has written.
    EpochEntry {
        end_offset: i64 = "endOffset" or i64::MAX,
        epoch: i32 = "epoch",
        start_offset: i64 = "startOffset",
    }

    /// The answer to request 1007.
    EpochEntryCache<'a> {
        broker_id: i64 = "brokerId",
        broker_name: Option<Text<'a>> = "brokerName",
        cluster_name: Option<Text<'a>> = "clusterName",
        epoch_list: List<'a, EpochEntry> = "epochList",
        max_offset: i64 = "maxOffset",
    }

    /// A slave, as its master sees it.
    HAConnectionRuntimeInfo<'a> {
        addr: Option<Text<'a>> = "addr",
        diff: i64 = "diff",
        in_sync: bool = "inSync",
        slave_ack_offset: i64 = "slaveAckOffset",
        transfer_from_where: i64 = "transferFromWhere",
        transferred_byte_in_second: i64 = "transferredByteInSecond",
    }

    /// A master, as its slave sees it.
    HAClientRuntimeInfo<'a> {
        activated: bool = "activated" | "isActivated",
        last_read_timestamp: i64 = "lastReadTimestamp",
        last_write_timestamp: i64 = "lastWriteTimestamp",
        master_addr: Option<Text<'a>> = "masterAddr",
        master_flush_offset: i64 = "masterFlushOffset",
        max_offset: i64 = "maxOffset",
        transferred_byte_in_second: i64 = "transferredByteInSecond",
    }

    /// The answer to request 907.
    HARuntimeInfo<'a> {
        ha_client_runtime_info: Option<HAClientRuntimeInfo<'a>> = "haClientRuntimeInfo",
        ha_connection_info: List<'a, HAConnectionRuntimeInfo<'a>> = "haConnectionInfo",
        in_sync_slave_nums: i32 = "inSyncSlaveNums",
        master: bool = "master",
        master_commit_log_max_offset: i64 = "masterCommitLogMaxOffset",
    }
}
