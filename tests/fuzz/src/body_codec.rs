//! Compressed bodies of RocketMQ's messages: whatever they hold, restoring ends within its limit,
//! leaves nothing behind in the codec, and what was restored can be compressed and restored again.
//!
//! An input is the type of the compression, the room for the output in two bytes, then the body.

use std::cell::RefCell;

use turbopump_core::rocketmq::wire::message::SysFlag;
use turbopump_std::rocketmq::BodyCodec;

use crate::Parameters;

thread_local! {
    /// Used for all inputs: what was wrong with one must make no difference to the next.
    static USED: RefCell<BodyCodec> = RefCell::new(BodyCodec::new());
}

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut parameters = Parameters { data };
    let flag = SysFlag(SysFlag::COMPRESSED | i32::from(parameters.byte() % 8) << 8);
    let room = usize::from(u16::from_le_bytes([parameters.byte(), parameters.byte()]));
    let body = parameters.data;
    USED.with_borrow_mut(|used| {
        let mut output = vec![0; room];
        let restored = used.restore(flag, body, &mut output);
        let mut fresh_output = vec![0; room];
        let by_fresh = BodyCodec::new().restore(flag, body, &mut fresh_output);
        assert_eq!(restored, by_fresh);
        let Ok(len) = restored else { return };
        assert_eq!(output[..len], fresh_output[..len]);
        let compression = flag.compression().expect("it was restored").expect("it is compressed");
        let mut again = vec![0; len + len / 8 + 1_024];
        let again_len = used.compress(compression, &output[..len], &mut again).expect("room");
        let restored = used.restore(flag, &again[..again_len], &mut fresh_output);
        assert_eq!(restored, Ok(len));
        assert_eq!(output[..len], fresh_output[..len]);
    });
}
