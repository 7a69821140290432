//! The server's non-INVITE transactions (RFC 3261 17.2.2): a request that comes again is answered as before, and nothing happens twice.
//!
//! What is kept is the decision, not the bytes: a copy of a request holds all that the answer repeats. A modify or refresh is not kept
//! here at all: its publication remembers its last request (the tag is used up by then, so no older one can come again).

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::SocketAddr;

use lampwire_sip::Message;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::compositor::Accepted;
use crate::hex::Hex;
use crate::io::TransportId;
use crate::limits;

/// A keyed hash of what makes a request the same: topmost branch and sent-by, method, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TransactionKey(u128);

impl TransactionKey {
    #[cfg(test)]
    pub(crate) const fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// The To tag of the answer to this request: the same for each copy (RFC 3261 8.2.6.2).
    pub(crate) fn to_tag(self) -> Hex<16> {
        Hex::of(&self.0.to_be_bytes())
    }
}

/// The answers that could be asked for again, in two generations: the younger is filled for 32 s and is the older for the next 32 s. So
/// nothing but key and answer is kept of each, under 100 bytes.
#[derive(Debug)]
pub(crate) struct ServerTransactions {
    secret: (u64, u64),
    younger: BTreeMap<TransactionKey, Accepted>,
    older: BTreeMap<TransactionKey, Accepted>,
}

impl ServerTransactions {
    pub(crate) fn new(secret: (u64, u64)) -> Self {
        Self {
            secret,
            younger: BTreeMap::new(),
            older: BTreeMap::new(),
        }
    }

    /// The key of a request, or `None` for one without branch (RFC 2543), which is never the same as another. The branch of a copy is the
    /// original's; a new request of the same sender has another (RFC 3261 8.1.1.7).
    pub(crate) fn key(
        &self,
        request: &Message<'_>,
        method: &str,
        transport: TransportId,
        source: SocketAddr,
    ) -> Option<TransactionKey> {
        let via = request.via().ok()?;
        let branch = via.branch?;
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        let mut part = |bytes: &[u8]| {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        };
        part(branch.as_bytes());
        part(method.as_bytes());
        match via.host {
            lampwire_sip::Host::Name(name) => part(name.as_bytes()),
            lampwire_sip::Host::V4(address) => part(&address.octets()),
            lampwire_sip::Host::V6(address) => part(&address.octets()),
        }
        part(&via.port.unwrap_or(0).to_be_bytes());
        match source.ip() {
            std::net::IpAddr::V4(address) => part(&address.octets()),
            std::net::IpAddr::V6(address) => part(&address.octets()),
        }
        part(&source.port().to_be_bytes());
        part(&transport.0.to_be_bytes());
        Some(TransactionKey(hasher.finish128().as_u128()))
    }

    /// The answer that was given to this request before.
    pub(crate) fn answer(&self, key: TransactionKey) -> Option<Accepted> {
        self.younger
            .get(&key)
            .or_else(|| self.older.get(&key))
            .copied()
    }

    /// Remembers the answer to a request.
    pub(crate) fn remember(&mut self, key: TransactionKey, answer: Accepted) {
        if self.younger.len() >= limits::TRANSACTIONS / 2 {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, answer);
    }

    /// A lifetime has passed: the older generation is forgotten. Whether there is more to forget.
    pub(crate) fn expire(&mut self) -> bool {
        self.older = std::mem::take(&mut self.younger);
        !self.older.is_empty()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compositor::EntityTag;

    fn accepted() -> Accepted {
        let tag = EntityTag::parse(&"0".repeat(48)).unwrap();
        Accepted { tag, expires: 3600 }
    }

    fn key_of(branch: &str, method: &str, source: &str) -> TransactionKey {
        let text = format!(
            "{method} sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch={branch}\r\n\
             From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        ServerTransactions::new((1, 2))
            .key(&message, method, TransportId(0), source.parse().unwrap())
            .unwrap()
    }

    #[test]
    fn the_same_request_has_the_same_key_and_others_do_not() {
        let key = key_of("z9hG4bK1", "PUBLISH", "127.0.0.2:5060");
        assert_eq!(key, key_of("z9hG4bK1", "PUBLISH", "127.0.0.2:5060"));
        assert_ne!(key, key_of("z9hG4bK2", "PUBLISH", "127.0.0.2:5060"));
        assert_ne!(key, key_of("z9hG4bK1", "OPTIONS", "127.0.0.2:5060"));
        assert_ne!(key, key_of("z9hG4bK1", "PUBLISH", "127.0.0.3:5060"));
    }

    #[test]
    fn answers_live_for_32_seconds_at_least_and_in_a_bounded_number() {
        let mut transactions = ServerTransactions::new((1, 2));
        let key = key_of("z9hG4bK1", "PUBLISH", "127.0.0.2:5060");
        transactions.remember(key, accepted());
        assert!(transactions.expire());
        assert!(transactions.answer(key).is_some());
        assert!(!transactions.expire());
        assert!(transactions.answer(key).is_none());
        for number in 0..limits::TRANSACTIONS as u128 + 10 {
            transactions.remember(TransactionKey(number), accepted());
        }
        assert!(transactions.len() <= limits::TRANSACTIONS);
        assert!(transactions.answer(TransactionKey(9)).is_none());
        let newest = TransactionKey(limits::TRANSACTIONS as u128);
        assert!(transactions.answer(newest).is_some());
    }

    #[test]
    fn each_is_kept_in_less_than_a_hundred_bytes() {
        // A B-tree's nodes are at least half full, and two thirds full as a rule.
        let entry = size_of::<TransactionKey>() + size_of::<Accepted>();
        assert!(entry * 3 / 2 < 100, "{entry}");
    }
}
