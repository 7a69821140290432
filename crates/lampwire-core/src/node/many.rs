//! Many states in one PUBLISH, as one Lampwire tells them to another that has offered to take them. All are checked before the first is
//! taken, and each is taken as if it had come alone.

use lampwire_sip::{Message, parse_states};

use super::Node;
use super::inbound::{Arrival, bad_body, check_numbers, full};
use crate::compositor::Checked;
use crate::peer::PeerId;
use crate::refusal::Refusal;
use crate::table::Change;

/// What is offered in the answer to a publication's first request.
pub(super) const OFFER: &str = "application/json, application/vnd.lampwire.states+json";

/// Whether a request says that it brings many.
pub(super) fn brings_many(request: &Message<'_>) -> bool {
    request.content_type().is_some_and(|it| it.is_states())
}

impl Node {
    /// Takes the states of a request whose body holds many: the changes that others are to hear of, and how many states it told. There is room for
    /// all or none is taken. What is taken may lead to a value of another's that finds none; then others are told what was taken before that.
    pub(super) fn take_many(
        &mut self,
        arrival: &Arrival<'_>,
        checked: &Checked,
        peer: Option<PeerId>,
    ) -> Result<(Vec<Change>, u64), Refusal> {
        let (now, endpoint) = (arrival.now, checked.endpoint);
        let mut states = parse_states(checked.event, arrival.request.body()).map_err(bad_body)?;
        if let Some(peer) = peer {
            for (change, _) in &mut states {
                let theirs = change.clone();
                let ours = self.rewrites.to_ours(&self.config, peer, theirs);
                *change = ours.map_err(bad_body)?;
            }
        }
        let said = states.iter().map(|(change, extras)| (change, extras));
        self.check_entity_ids(endpoint, said)?;
        for (_, extras) in &states {
            check_numbers(now, extras)?;
        }

        let count = u64::try_from(states.len()).unwrap_or(u64::MAX);
        states.retain(|(change, _)| self.is_wanted(arrival, checked, change));
        let room = states
            .iter()
            .map(|(change, extras)| self.assertion_of(now, endpoint, peer, change, extras));
        let room: Vec<_> = room.collect();
        self.table.check_room_for_all(&room).map_err(full)?;

        // ---- the first write ----
        let (mut changes, mut known) = (Vec::new(), None);
        for (change, extras) in &states {
            match self.take(now, endpoint, peer, change, extras) {
                Ok(change) => changes.extend(change),
                Err(refusal) => {
                    for change in changes {
                        self.fan_out(now, change);
                    }
                    return Err(refusal);
                }
            }
            let by = extras.version.map(|version| version.by);
            if known.replace((change.eid(), by)) != Some((change.eid(), by)) {
                self.note_entity_id(now, (endpoint, peer), change, extras.version, false);
            }
        }
        Ok((changes, count))
    }
}
