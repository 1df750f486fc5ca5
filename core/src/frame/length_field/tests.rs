use super::{Counts, LengthField};
use crate::frame::{FrameError, Header, LengthFieldError};

fn oversize(frame_bytes: u64, frame_bytes_max: usize) -> FrameError {
    FrameError::Oversize { at: 0, frame_bytes, frame_bytes_max }
}

fn too_short(frame_bytes: i64, frame_bytes_min: usize) -> FrameError {
    FrameError::TooShort { at: 0, frame_bytes, frame_bytes_min }
}

#[test]
fn what_is_written_is_read_at_every_width_and_offset() {
    for width in 1..=8 {
        for offset in [0, 1, 5] {
            for little in [false, true] {
                let builder = LengthField::builder(200).offset(offset).width(width);
                let builder = if little { builder.little_endian() } else { builder };
                let field = builder.build().unwrap();
                for frame_bytes in [offset + width, 100, 200] {
                    // 0xee around the field: neighbours are neither read nor written.
                    let mut frame = [0xee; 32];
                    field.write_length(frame_bytes, &mut frame).unwrap();
                    assert_eq!(field.frame_bytes(&frame), Ok(frame_bytes));
                    assert_eq!(field.frame_bytes(&frame[..offset + width]), Ok(frame_bytes));
                    assert!(frame[..offset].iter().all(|byte| *byte == 0xee));
                    assert!(frame[offset + width..].iter().all(|byte| *byte == 0xee));
                }
            }
        }
    }
}

#[test]
fn each_way_of_counting_has_its_value_on_the_wire() {
    let value = |counts| {
        let field = LengthField::builder(100).offset(1).width(2).counts(counts);
        let mut header = [0; 3];
        field.build().unwrap().write_length(40, &mut header).unwrap();
        header[2]
    };
    assert_eq!(value(Counts::AfterField), 37);
    assert_eq!(value(Counts::AfterHeader(12)), 28);
    assert_eq!(value(Counts::AfterHeader(1)), 39, "the field counts itself");
    assert_eq!(value(Counts::WholeFrame), 40);
    assert_eq!(value(Counts::Adjusted(-5)), 45);
}

#[test]
fn byte_order_on_the_wire() {
    let mut header = [0; 4];
    LengthField::big_endian_u32(100_000).unwrap().write_length(65_540, &mut header).unwrap();
    assert_eq!(header, [0, 1, 0, 0]);
    LengthField::little_endian_u32(100_000).unwrap().write_length(65_540, &mut header).unwrap();
    assert_eq!(header, [0, 0, 1, 0]);
}

#[test]
fn the_limits_are_exact() {
    let field = LengthField::big_endian_u16(100).unwrap();
    assert_eq!(field.frame_bytes(&[0, 0]), Ok(2));
    assert_eq!(field.frame_bytes(&[0, 98]), Ok(100));
    assert_eq!(field.frame_bytes(&[0, 99]), Err(oversize(101, 100)));
    assert_eq!(field.frame_bytes(&[255, 255]), Err(oversize(65_537, 100)));

    let counts_itself = LengthField::builder(100).counts(Counts::WholeFrame).build().unwrap();
    assert_eq!(counts_itself.frame_bytes(&[0, 0, 0, 4]), Ok(4));
    assert_eq!(counts_itself.frame_bytes(&[0, 0, 0, 3]), Err(too_short(3, 4)));
    assert_eq!(counts_itself.frame_bytes(&[0, 0, 0, 0]), Err(too_short(0, 4)));

    let long_header = LengthField::builder(100).header_bytes(12).build().unwrap();
    assert_eq!(long_header.frame_bytes(&[0, 0, 0, 8]), Ok(12));
    assert_eq!(long_header.frame_bytes(&[0, 0, 0, 7]), Err(too_short(11, 12)));

    let below_zero = LengthField::builder(100).counts(Counts::Adjusted(-10)).build().unwrap();
    assert_eq!(below_zero.frame_bytes(&[0, 0, 0, 110]), Ok(100));
    assert_eq!(below_zero.frame_bytes(&[0, 0, 0, 3]), Err(too_short(-7, 4)));
}

#[test]
fn eight_bytes_of_ones_are_too_long_or_negative() {
    let unsigned = LengthField::builder(1_000).width(8);
    assert_eq!(unsigned.build().unwrap().frame_bytes(&[255; 8]), Err(oversize(u64::MAX, 1_000)));
    let negative = FrameError::Negative { at: 0, value: -1 };
    assert_eq!(unsigned.signed().build().unwrap().frame_bytes(&[255; 8]), Err(negative));
}

#[test]
fn a_negative_length_is_refused_even_where_adjustment_would_make_it_legal() {
    let field = LengthField::builder(100).width(2).signed().counts(Counts::AfterHeader(50));
    let negative = FrameError::Negative { at: 0, value: -2 };
    assert_eq!(field.build().unwrap().frame_bytes(&[0xff, 0xfe]), Err(negative));
    let largest_positive = oversize(0x7fff + 50, 100);
    assert_eq!(field.build().unwrap().frame_bytes(&[0x7f, 0xff]), Err(largest_positive));
}

#[test]
fn lengths_that_cannot_be_written_are_refused() {
    let field = LengthField::big_endian_u16(100).unwrap();
    let mut header = [7; 2];
    assert_eq!(field.write_length(101, &mut header), Err(oversize(101, 100)));
    assert_eq!(field.write_length(1, &mut header), Err(too_short(1, 2)));
    assert_eq!(field.write_length(50, &mut header[..1]), Err(too_short(1, 2)));
    assert_eq!(header, [7; 2]);
}

#[test]
fn impossible_numbers_are_refused_when_built() {
    let build = LengthField::builder;
    for width_bytes in [0, 9] {
        let refused = build(100).width(width_bytes).build();
        assert_eq!(refused, Err(LengthFieldError::Width { width_bytes }));
    }
    let offset_bytes = usize::MAX - 1;
    let refused = build(usize::MAX).offset(offset_bytes).build();
    assert_eq!(refused, Err(LengthFieldError::Offset { offset_bytes }));
    assert_eq!(
        build(100).offset(6).header_bytes(8).build(),
        Err(LengthFieldError::Header { header_bytes: 8, field_end_bytes: 10 })
    );
    assert_eq!(
        build(3).build(),
        Err(LengthFieldError::MaximumTooLow { frame_bytes_max: 3, frame_bytes_min: 4 })
    );
    assert_eq!(
        build(100).counts(Counts::AfterHeader(101)).build(),
        Err(LengthFieldError::MaximumTooLow { frame_bytes_max: 100, frame_bytes_min: 101 })
    );
    let too_high = |frame_bytes_max, expressible_bytes| {
        Err(LengthFieldError::MaximumTooHigh { frame_bytes_max, expressible_bytes })
    };
    assert_eq!(build(257).width(1).build(), too_high(257, 256));
    assert!(build(256).width(1).build().is_ok());
    assert_eq!(build(129).width(1).signed().build(), too_high(129, 128));
    assert_eq!(build(100).counts(Counts::Adjusted(i64::MIN)).build(), too_high(100, 0));
}

#[test]
fn the_whole_address_space_can_be_allowed() {
    let field = LengthField::builder(usize::MAX).width(8).counts(Counts::WholeFrame);
    let field = field.build().unwrap();
    assert_eq!(field.frame_bytes(&[255; 8]).ok(), usize::try_from(u64::MAX).ok());
    assert_eq!(field.frame_bytes(&[0; 8]), Err(too_short(0, 8)));
}
