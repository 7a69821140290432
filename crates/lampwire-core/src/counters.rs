//! What the node counts. Plain numbers that only rise; the program turns them into metrics.

use std::collections::BTreeMap;

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Datagrams handed to the node.
    pub datagrams_received: u64,
    /// Messages that came by connections.
    pub stream_messages_received: u64,
    /// Connections that were closed at once, being too many.
    pub connections_refused: u64,
    /// Datagrams that are no SIP message, or none that can be answered.
    pub unparsable: u64,
    /// Requests, ACK included.
    pub requests_received: u64,
    /// Requests that were answered as before, since they had come before.
    pub retransmissions: u64,
    /// PUBLISH requests that were granted.
    pub accepted: u64,
    /// Refusals by their code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests of strangers that were not answered at all, being too many.
    pub unanswered: u64,
    /// Answers that were held back because their endpoint asks faster than its `@request_rate`.
    pub late: u64,
    /// Requests that were not looked at because too many answers to their endpoint wait.
    pub overtaken: u64,
    /// Times that a peer was asked for all its states because we had refused some.
    pub asked_for_missed: u64,
    /// Answers to requests of ours.
    pub responses_received: u64,
    /// Answers to nothing that we asked.
    pub stray_responses: u64,
    /// States taken in that said something new.
    pub changes_received: u64,
    /// States taken in that said nothing new.
    pub repeats_received: u64,
    /// States that an asterisk-publication does not want: granted and dropped.
    pub filtered: u64,
    /// States under our own entity id from somebody else: granted and dropped.
    pub own_entity_id_received: u64,
    /// What was found wrong about entity ids, by its code.
    pub findings: BTreeMap<&'static str, u64>,
    /// Requests for everything that peers sent.
    pub refreshes_received: u64,
    /// Relayed states that are no newer than what is known: the other copies of what goes round a circle of hubs.
    pub stale: u64,
    /// Relayed states that are not looked at because another hub's word on their entity id is believed.
    pub shadows: u64,
    /// Relayed states that this node itself had stamped.
    pub echoes: u64,
    /// Entity ids that were lost.
    pub losses: u64,
    /// Entity ids that came back after they were lost.
    pub returns: u64,
    /// Devices taken back because their node no longer has them.
    pub swept: u64,
    /// Publications that ran out.
    pub publications_expired: u64,
}
