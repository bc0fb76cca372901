//! What was once released is read and written for ever: a drone's binary is as old as its image.
//!
//! A fixture is added with each release that changes a shape, and none is ever changed.

use hatchery_protocol::wire::{Identity, Problem, TokenRejected, TokenReply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `fixture` as `T`, with a field from the future in it too, and writes it again.
fn round_trip<T: Serialize + DeserializeOwned>(fixture: &str) {
    let released: Value = serde_json::from_str(fixture).expect("a fixture is JSON");
    let mut newer = released.clone();
    newer["a_field_of_a_later_release"] = Value::from(vec![1]);
    for shape in [released.clone(), newer] {
        let read: T = serde_json::from_value(shape).expect("a released shape is read");
        let written = serde_json::to_value(&read).expect("it is written");
        for (name, value) in released.as_object().expect("an object") {
            assert_eq!(written.get(name), Some(value), "{name}");
        }
    }
}

#[test]
fn every_shape_of_v1_is_read_and_written_as_it_was_released() {
    round_trip::<TokenReply>(include_str!("fixtures/v1/token.json"));
    round_trip::<TokenRejected>(include_str!("fixtures/v1/token-rejected.json"));
    round_trip::<Identity>(include_str!("fixtures/v1/identity.json"));
    round_trip::<Identity>(include_str!("fixtures/v1/identity-least.json"));
    round_trip::<Problem>(include_str!("fixtures/v1/problem.json"));
}
