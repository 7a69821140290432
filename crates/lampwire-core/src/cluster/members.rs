//! Which nodes of the cluster are there, how each is attached to which server, and which of them is the home of a server's states and speaks to it.
//!
//! There is no leader. Each node says of itself how it is attached ([`Way`]), and everybody reckons the same from what all say: of those that are
//! there and attached, the one of the lowest rank is to have the role. It takes it by naming a term above all that were named before, and the
//! highest term counts; so while two nodes still see different things, one of two claims is the later one, and that is kept.

use std::collections::{BTreeMap, BTreeSet};

use lampwire_bus::{Beat, Way};
use lampwire_sip::EntityId;

use crate::limits;
use crate::time::Time;

/// What a node of the cluster may be for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// It stamps the server's states.
    Home,
    /// It tells the server the states of all others.
    Speaker,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Home, Self::Speaker];

    /// Whether somebody who is attached like that can have it.
    const fn is_open(self, way: &Way) -> bool {
        match self {
            Self::Home => way.hears,
            Self::Speaker => way.tells,
        }
    }

    pub(crate) const fn term(self, way: &Way) -> u64 {
        match self {
            Self::Home => way.home,
            Self::Speaker => way.speaker,
        }
    }

    pub(crate) const fn set_term(self, way: &mut Way, term: u64) {
        match self {
            Self::Home => way.home = term,
            Self::Speaker => way.speaker = term,
        }
    }
}

/// Another node of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its site.
    pub(crate) site: String,
    /// Its newest beat.
    pub(crate) beat: Beat,
    /// When that came.
    pub(crate) at: Time,
    /// When a beat of it was last passed on to hubs that are no nodes of the cluster.
    pub(crate) passed_on: Option<Time>,
    /// It is there.
    pub(crate) alive: bool,
    /// Its program's version.
    pub(crate) program: Option<String>,
}

/// All nodes of the cluster and their ways.
#[derive(Debug)]
pub(crate) struct Members {
    own: EntityId,
    own_rank: u16,
    list: BTreeMap<EntityId, Member>,
    /// By server, then by node.
    ways: BTreeMap<EntityId, BTreeMap<EntityId, Way>>,
    /// How many they are.
    count: usize,
    /// Servers of whose ways one, or a node of one, has changed since this was last asked.
    changed: BTreeSet<EntityId>,
    /// Servers that another node may have told something that we do not know of.
    gained: BTreeSet<EntityId>,
    /// Versions of the programs of nodes of which no beat was heard yet.
    programs: BTreeMap<EntityId, String>,
}

/// What a beat told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is no newer than what is known.
    Nothing,
    /// The node is there, as it was.
    StillThere,
    /// The node is there, and was not.
    Back,
    /// The node has begun a new life.
    Reborn,
    /// There is no room for another node.
    Full,
}

impl Members {
    pub(crate) const fn new(own: EntityId, own_rank: u16) -> Self {
        Self {
            own,
            own_rank,
            list: BTreeMap::new(),
            ways: BTreeMap::new(),
            count: 0,
            changed: BTreeSet::new(),
            gained: BTreeSet::new(),
            programs: BTreeMap::new(),
        }
    }

    /// The other nodes, by entity id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EntityId, &Member)> + '_ {
        self.list.iter().map(|(id, member)| (*id, member))
    }

    pub(crate) fn get(&self, node: EntityId) -> Option<&Member> {
        self.list.get(&node)
    }

    pub(crate) fn get_mut(&mut self, node: EntityId) -> Option<&mut Member> {
        self.list.get_mut(&node)
    }

    /// A beat of another node's.
    pub(crate) fn beat(&mut self, now: Time, node: EntityId, site: &str, beat: Beat) -> Told {
        let full = self.list.len() >= limits::MEMBERS;
        let known = self.list.get_mut(&node);
        let told = match &known {
            // Beats of an earlier life, and those that were overtaken, say nothing.
            Some(member) if (beat.life, beat.seq) <= (member.beat.life, member.beat.seq) => {
                return Told::Nothing;
            }
            Some(member) if member.alive && member.beat.life == beat.life => {
                match member.beat.rank == beat.rank {
                    true => Told::StillThere,
                    false => Told::Back,
                }
            }
            Some(member) if member.beat.life != beat.life => Told::Reborn,
            Some(_) => Told::Back,
            None if full => return Told::Full,
            None => Told::Back,
        };
        match known {
            Some(member) => {
                (member.beat, member.at, member.alive) = (beat, now, true);
                site.clone_into(&mut member.site);
            }
            None => {
                let member = Member {
                    site: site.to_owned(),
                    beat,
                    at: now,
                    passed_on: None,
                    alive: true,
                    program: self.programs.remove(&node),
                };
                self.list.insert(node, member);
            }
        }
        if told != Told::StillThere {
            self.note_node(node);
        }
        told
    }

    /// What a node says of its program.
    pub(crate) fn set_program(&mut self, node: EntityId, program: String) {
        match self.list.get_mut(&node) {
            Some(member) => member.program = Some(program),
            None if self.programs.len() < limits::MEMBERS => {
                self.programs.insert(node, program);
            }
            None => {}
        }
    }

    /// Finds out who has fallen silent; gives those.
    pub(crate) fn look(&mut self, now: Time) -> Vec<EntityId> {
        let mut silent = Vec::new();
        for (node, member) in &mut self.list {
            if member.alive && now >= member.at + limits::BUS_SILENT {
                member.alive = false;
                silent.push(*node);
            }
        }
        for node in &silent {
            self.note_node(*node);
        }
        silent
    }

    /// What a node says of its way to a server; `None`: it has none any more. False: there is no room for another.
    pub(crate) fn set_way(&mut self, eid: EntityId, node: EntityId, way: Option<Way>) -> bool {
        let of_server = self.ways.entry(eid).or_default();
        let known = of_server.get(&node);
        if known == way.as_ref() {
            if of_server.is_empty() {
                self.ways.remove(&eid);
            }
            return true;
        }
        let is_known = known.is_some();
        // One that has spoken since, or that is no more, may have told something before its last words here were read.
        let before = known.map_or((false, 0), |way| (way.tells, way.speaker));
        let may_have_told = match &way {
            Some(way) => !before.0 && way.tells || way.speaker > before.1,
            None => true,
        };
        if node != self.own && may_have_told {
            self.gained.insert(eid);
        }
        match way {
            Some(_) if !is_known && self.count >= limits::WAYS => {
                if of_server.is_empty() {
                    self.ways.remove(&eid);
                }
                return false;
            }
            Some(way) => {
                of_server.insert(node, way);
                self.count += usize::from(!is_known);
            }
            None => {
                of_server.remove(&node);
                self.count -= 1;
                if of_server.is_empty() {
                    self.ways.remove(&eid);
                }
            }
        }
        self.changed.insert(eid);
        true
    }

    /// Our own way to a server.
    pub(crate) fn own_way(&self, eid: EntityId) -> Option<&Way> {
        self.way(eid, self.own)
    }

    pub(crate) fn way(&self, eid: EntityId, node: EntityId) -> Option<&Way> {
        self.ways.get(&eid)?.get(&node)
    }

    /// All ways, by server and node.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (EntityId, &BTreeMap<EntityId, Way>)> + '_ {
        self.ways.iter().map(|(eid, ways)| (*eid, ways))
    }

    /// The ways to a server, each with whether its node is there in the life in which it told of it.
    pub(crate) fn ways_to(
        &self,
        eid: EntityId,
    ) -> impl Iterator<Item = (EntityId, &Way, bool)> + '_ {
        let ways = self.ways.get(&eid).into_iter().flatten();
        ways.map(|(node, way)| (*node, way, self.is_there(*node, way)))
    }

    /// The servers that a node has a way to.
    pub(crate) fn servers_of(&self, node: EntityId) -> Vec<EntityId> {
        let with = self
            .ways
            .iter()
            .filter(|(_, ways)| ways.contains_key(&node));
        with.map(|(eid, _)| *eid).collect()
    }

    /// Servers of which something has changed.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<EntityId> {
        std::mem::take(&mut self.changed)
    }

    /// Servers that another node may have told something since this was last asked.
    pub(crate) fn take_gained(&mut self) -> BTreeSet<EntityId> {
        std::mem::take(&mut self.gained)
    }

    /// Everything is to be looked at once more.
    pub(crate) fn all_changed(&mut self) {
        self.changed.extend(self.ways.keys().copied());
    }

    /// Whether a node is there in the life in which it told of this way.
    fn is_there(&self, node: EntityId, way: &Way) -> bool {
        node == self.own
            || self
                .list
                .get(&node)
                .is_some_and(|member| member.alive && member.beat.life == way.life)
    }

    fn rank(&self, node: EntityId) -> (u16, EntityId) {
        let rank = match self.list.get(&node) {
            Some(member) => member.beat.rank,
            None => self.own_rank,
        };
        (rank, node)
    }

    /// The nodes that could have a role for a server now.
    fn contenders(&self, eid: EntityId, role: Role) -> impl Iterator<Item = (EntityId, &Way)> + '_ {
        let ways = self.ways.get(&eid).into_iter().flatten();
        ways.map(|(node, way)| (*node, way))
            .filter(move |(node, way)| role.is_open(way) && self.is_there(*node, way))
    }

    /// Who has a role for a server: whoever took it last of those that could, or where nobody has taken it, who is to. `None`: nobody can.
    pub(crate) fn holder(&self, eid: EntityId, role: Role) -> Option<EntityId> {
        let taken = self
            .contenders(eid, role)
            .filter(|(_, way)| role.term(way) > 0)
            .max_by_key(|(node, way)| (role.term(way), std::cmp::Reverse(self.rank(*node))));
        taken.map(|(node, _)| node).or_else(|| self.best(eid, role))
    }

    /// Who took a role for a server last, whether it is there or not.
    pub(crate) fn last(&self, eid: EntityId, role: Role) -> Option<EntityId> {
        let ways = self.ways.get(&eid)?.iter();
        let taken = ways.filter(|(_, way)| role.term(way) > 0);
        let last = taken.max_by_key(|(node, way)| (role.term(way), std::cmp::Reverse(**node)));
        last.map(|(node, _)| *node)
    }

    fn best(&self, eid: EntityId, role: Role) -> Option<EntityId> {
        let nodes = self.contenders(eid, role).map(|(node, _)| node);
        nodes.min_by_key(|node| self.rank(*node))
    }

    /// The term in which this node is to take a role for a server, if it is to.
    pub(crate) fn claim(&self, eid: EntityId, role: Role) -> Option<u64> {
        let own = self.own_way(eid)?;
        if self.best(eid, role) != Some(self.own) {
            return None;
        }
        let holds = role.term(own) > 0 && self.holder(eid, role) == Some(self.own);
        if holds {
            return None;
        }
        // Also above the terms of those who are away: they may be back before they hear of this one.
        let known = self.ways.get(&eid)?.values().map(|way| role.term(way));
        Some(known.max().unwrap_or(0).saturating_add(1))
    }

    /// Whether another node that is there hears a server.
    pub(crate) fn is_heard_elsewhere(&self, eid: EntityId) -> bool {
        self.contenders(eid, Role::Home)
            .any(|(node, _)| node != self.own)
    }

    /// Whether a node that is there hears a server.
    pub(crate) fn hears(&self, node: EntityId, eid: EntityId) -> bool {
        self.contenders(eid, Role::Home).any(|(it, _)| it == node)
    }

    /// Whether another node could tell a server, as it said last, whether it is there or not.
    pub(crate) fn may_be_told_elsewhere(&self, eid: EntityId) -> bool {
        let ways = self.ways.get(&eid).into_iter().flatten();
        ways.filter(|(node, _)| **node != self.own)
            .any(|(_, way)| way.tells)
    }

    /// The servers that a node could tell something, as it said last.
    pub(crate) fn told_by(&self, node: EntityId) -> Vec<EntityId> {
        let of_node = self.ways.iter().filter(|(_, ways)| {
            let way = ways.get(&node);
            way.is_some_and(|way| way.tells)
        });
        of_node.map(|(eid, _)| *eid).collect()
    }

    /// The servers that others are attached to too: while they were not seen they may have told them something, whatever they said before.
    pub(crate) fn told_elsewhere(&self) -> Vec<EntityId> {
        let others = |ways: &BTreeMap<EntityId, Way>| ways.keys().any(|node| *node != self.own);
        let servers = self.ways.iter().filter(|(_, ways)| others(ways));
        servers.map(|(eid, _)| *eid).collect()
    }

    fn note_node(&mut self, node: EntityId) {
        let servers = self.servers_of(node);
        self.changed.extend(servers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_micros(1_000_000);

    fn node(number: u8) -> EntityId {
        EntityId::from([2, 0, 0, 0, 9, number])
    }

    fn server() -> EntityId {
        EntityId::from([2, 0, 0, 0, 0, 1])
    }

    fn beat(rank: u16, seq: u64) -> Beat {
        Beat {
            rank,
            life: 5,
            seq,
            protocol: 3,
            ..Beat::default()
        }
    }

    fn way(hears: bool, home: u64) -> Option<Way> {
        Some(Way {
            life: 5,
            hears,
            home,
            ..Way::default()
        })
    }

    /// What node `own` knows of nodes 1 to 3, of ranks 10, 20, 30, which all hear the server.
    fn members(own: u8) -> Members {
        let mut members = Members::new(node(own), u16::from(own) * 10);
        for other in (1..=3).filter(|other| *other != own) {
            members.beat(NOW, node(other), "main", beat(u16::from(other) * 10, 1));
        }
        for each in 1..=3 {
            members.set_way(server(), node(each), way(true, 0));
        }
        members
    }

    #[test]
    fn the_lowest_rank_is_to_be_the_home_and_takes_it() {
        let first = members(1);
        assert_eq!(first.holder(server(), Role::Home), Some(node(1)));
        assert_eq!(first.claim(server(), Role::Home), Some(1));
        let mut second = members(2);
        assert_eq!(second.claim(server(), Role::Home), None);
        second.set_way(server(), node(1), way(true, 1));
        assert_eq!(second.holder(server(), Role::Home), Some(node(1)));
    }

    #[test]
    fn who_falls_silent_is_followed_by_the_next_in_a_later_term() {
        let mut second = members(2);
        second.set_way(server(), node(1), way(true, 4));
        let later = NOW + limits::BUS_SILENT / 2;
        second.beat(later, node(3), "main", beat(30, 2));
        assert_eq!(second.look(NOW + limits::BUS_SILENT), [node(1)]);
        assert_eq!(second.claim(server(), Role::Home), Some(5));
        second.set_way(server(), node(2), way(true, 5));
        assert_eq!(second.holder(server(), Role::Home), Some(node(2)));
        // The first is back: it is still the second's, until the first takes it in a later term.
        assert_eq!(second.beat(later, node(1), "main", beat(10, 2)), Told::Back);
        assert_eq!(second.holder(server(), Role::Home), Some(node(2)));
        second.set_way(server(), node(1), way(true, 6));
        assert_eq!(second.holder(server(), Role::Home), Some(node(1)));
    }

    #[test]
    fn a_way_of_an_earlier_life_counts_no_more() {
        let mut second = members(2);
        second.set_way(server(), node(1), way(true, 4));
        let newer = Beat {
            life: 6,
            ..beat(10, 1)
        };
        second.beat(NOW, node(1), "main", newer);
        assert_eq!(second.holder(server(), Role::Home), Some(node(2)));
        assert_eq!(second.claim(server(), Role::Home), Some(5));
    }

    #[test]
    fn who_does_not_hear_a_server_is_no_home_of_it() {
        let mut second = members(2);
        second.set_way(server(), node(1), way(false, 4));
        assert_eq!(second.claim(server(), Role::Home), Some(5));
        assert!(second.is_heard_elsewhere(server()));
        assert!(!second.hears(node(1), server()));
    }

    #[test]
    fn an_older_beat_says_nothing() {
        let mut second = members(2);
        assert_eq!(
            second.beat(NOW, node(1), "main", beat(10, 1)),
            Told::Nothing
        );
        assert_eq!(
            second.beat(NOW, node(1), "main", beat(10, 2)),
            Told::StillThere
        );
        assert!(second.take_changed().contains(&server()));
        assert!(second.take_changed().is_empty());
    }

    proptest! {
        /// Whoever knows the same of a server holds the same node for its home, and one node at most wants to take it.
        #[test]
        fn all_reckon_the_same(
            ways in prop::collection::vec((any::<bool>(), 0u64..4), 3),
            alive in prop::collection::vec(any::<bool>(), 3),
        ) {
            let known: Vec<Members> = (1u8..=3).map(|own| {
                let mut members = members(own);
                for (each, (hears, term)) in (1u8..).zip(&ways) {
                    members.set_way(server(), node(each), way(*hears, *term));
                }
                for (each, alive) in (1u8..).zip(&alive) {
                    if let Some(member) = members.get_mut(node(each)) {
                        member.alive = *alive;
                    }
                }
                members
            }).collect();
            let there: Vec<usize> = (0..3).filter(|index| alive[*index]).collect();
            let holders: BTreeSet<_> = there.iter().map(|it| known[*it].holder(server(), Role::Home)).collect();
            prop_assert!(holders.len() <= 1);
            let claims = there.iter().filter(|it| known[**it].claim(server(), Role::Home).is_some());
            prop_assert!(claims.count() <= 1);
        }
    }
}
