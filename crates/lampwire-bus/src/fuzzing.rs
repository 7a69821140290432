//! What the fuzz targets and the replay of their corpora run. Not part of the interface.

use crate::topic::What;
use crate::{Key, Protocol, Record, Said, Topic};

/// The name of a target, which is that of its corpus, and what runs one case of it.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, for the replay.
pub const TARGETS: [Target; 1] = [("bus", bus)];

/// A key or a topic on the first line, and what stands under it: what is read prints to what reads the same.
pub fn bus(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else {
        return;
    };
    let mut out = Vec::new();
    if let Some(key) = Key::parse(head) {
        assert_eq!(key.to_string(), head);
        if let Ok(record) = Record::parse(&key.subject, key.node, body) {
            record.write(key.node, Protocol::NEWEST, &mut out);
            let again = Record::parse(&key.subject, key.node, &out);
            assert_eq!(again, Ok(record));
        }
    } else if let Some(topic) = Topic::parse(head) {
        assert_eq!(topic.to_string(), head);
        assert!(matches!(topic.what, What::Beat | What::Hub | What::Passing));
        if let Some(said) = Said::parse(topic.what, body) {
            said.write(&mut out);
            assert_eq!(Said::parse(topic.what, &out), Some(said));
        }
    }
}
