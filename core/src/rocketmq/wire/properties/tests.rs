extern crate alloc;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Delay, Part, Properties, PropertyError, crc_of_property, crc_property, keys, write_property,
};

fn items(text: &str) -> Vec<(&str, &str)> {
    Properties::new(text).iter().collect()
}

#[test]
fn odd_items_do_not_count() {
    assert_eq!(items(""), []);
    assert_eq!(items("nosep"), []);
    assert_eq!(items("\u{2}\u{2}\u{1}x\u{2}x\u{1}\u{2}a\u{1}b"), [("a", "b")]);
    assert_eq!(items("a\u{1}b\u{1}c\u{2}d\u{1}e\u{2}"), [("a", "b\u{1}c"), ("d", "e")]);
}

#[test]
fn the_last_of_the_same_name_counts() {
    assert_eq!(Properties::new("a\u{1}1\u{2}a\u{1}2\u{2}a\u{1}\u{2}").get("a"), Some("2"));
    assert_eq!(Properties::new("a\u{1}1\u{2}").get("b"), None);
}

#[test]
fn what_would_be_misread_is_not_written() {
    let mut text = String::new();
    let empty = Err(PropertyError::Empty { part: Part::Value });
    assert_eq!(write_property(&mut text, "a", ""), empty);
    let separator = Err(PropertyError::Separator { part: Part::Name, position: 1 });
    assert_eq!(write_property(&mut text, "a\u{2}", "b"), separator);
    assert_eq!(text, "");
    assert_eq!(write_property(&mut text, "a", "b"), Ok(()));
    assert_eq!(text, "a\u{1}b\u{2}");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_are() {
    assert_eq!(Properties::from_bytes(b"ab\xff").map_err(|error| error.position), Err(2));
}

#[test]
fn a_level_wins_over_timers() {
    let of = |text| Properties::new(text).delay();
    assert_eq!(of("a\u{1}b\u{2}"), Ok(None));
    assert_eq!(of("DELAY\u{1}99\u{2}TIMER_DELAY_MS\u{1}5\u{2}"), Ok(Some(Delay::Level(18))));
    assert_eq!(of("DELAY\u{1}0\u{2}TIMER_DELAY_MS\u{1}5\u{2}"), Ok(Some(Delay::AfterMs(5))));
    assert_eq!(of("TIMER_DELAY_SEC\u{1}2\u{2}"), Ok(Some(Delay::AfterMs(2_000))));
    assert_eq!(of("TIMER_DELIVER_MS\u{1}77\u{2}"), Ok(Some(Delay::AtMs(77))));
    assert_eq!(of("DELAY\u{1}soon\u{2}").map_err(|error| error.name), Err(keys::DELAY));
}

#[test]
fn the_crc_comes_back_from_its_property() {
    for crc in [0, 10, 0x7fff_ffff] {
        assert_eq!(crc_of_property(&crc_property(crc)), Some(crc));
    }
    assert_eq!(crc_of_property(b"__CRC32#\x019999999999\x02"), None);
    assert_eq!(crc_of_property(b"__CRC32#\x01000000000x\x02"), None);
    assert_eq!(crc_of_property(b"short"), None);
}
