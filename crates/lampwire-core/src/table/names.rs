//! The names of devices and mailboxes, each kept once.

use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::CellId;
use super::order::Order;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A device, as `PJSIP/1001`.
    Device,
    /// A mailbox, as `100@default`.
    Mailbox,
}

/// A name's number in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(pub(crate) u32);

/// Names by number, by text and in order. A name whose cells are all gone is forgotten and its number used again.
#[derive(Debug)]
pub(crate) struct Names {
    entries: Vec<Name>,
    free: Vec<u32>,
    by_hash: HashTable<u32>,
    in_order: [Order; 2],
    made: [u32; 2],
    key: (u64, u64),
}

#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) text: Arc<str>,
    pub(crate) kind: Kind,
    /// The first of this name's cells, which are chained.
    pub(crate) first_cell: Option<CellId>,
    /// A mailbox's value that counts on a hub.
    pub(crate) owner: Option<CellId>,
    /// Verdicts of the first filters on this name: a bit for known, a bit for wanted.
    pub(crate) verdicts_known: u16,
    pub(crate) verdicts: u16,
    /// How many of its kind were made before it.
    ordinal: u32,
}

/// There may be a million of them.
const _: () = assert!(size_of::<Name>() <= 40);

impl Names {
    /// An empty table. `key` is secret, so that nobody can choose names that collide.
    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_hash: HashTable::new(),
            in_order: Default::default(),
            made: [0; 2],
            key,
        }
    }

    /// So many names are about to come: their places are not reckoned again each time that there are twice as many.
    pub(crate) fn expect(&mut self, count: usize) {
        let (entries, key) = (&self.entries, self.key);
        self.by_hash.reserve(count, |&id| {
            let name = &entries[id as usize];
            keyed_hash(key, name.kind, &name.text)
        });
    }

    pub(crate) fn find(&self, kind: Kind, text: &str) -> Option<NameId> {
        let hash = self.hash(kind, text);
        self.by_hash
            .find(hash, |&id| {
                let name = &self.entries[id as usize];
                name.kind == kind && *name.text == *text
            })
            .map(|&id| NameId(id))
    }

    /// The number of `text`, given now if it has none yet.
    pub(crate) fn intern(&mut self, kind: Kind, text: &str) -> NameId {
        if let Some(id) = self.find(kind, text) {
            return id;
        }
        let hash = self.hash(kind, text);
        let name = Name {
            text: Arc::from(text),
            kind,
            first_cell: None,
            owner: None,
            verdicts_known: 0,
            verdicts: 0,
            ordinal: self.made[kind as usize],
        };
        self.made[kind as usize] = self.made[kind as usize].wrapping_add(1);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = name;
                id
            }
            None => {
                self.entries.push(name);
                u32::try_from(self.entries.len() - 1).expect("cells are bounded far below 2^32")
            }
        };
        let Self {
            by_hash,
            entries,
            in_order,
            key,
            ..
        } = self;
        by_hash.insert_unique(hash, id, |&id| {
            let name = &entries[id as usize];
            keyed_hash(*key, name.kind, &name.text)
        });
        in_order[kind as usize].insert(id, |id| &entries[id as usize].text);
        NameId(id)
    }

    /// Forgets a name that has no cell any more.
    pub(crate) fn remove(&mut self, id: NameId) {
        let name = &self.entries[id.0 as usize];
        debug_assert!(name.first_cell.is_none(), "a name with cells is in use");
        let hash = self.hash(name.kind, &name.text);
        if let Ok(found) = self.by_hash.find_entry(hash, |&other| other == id.0) {
            found.remove();
        }
        self.in_order[name.kind as usize].remove(id.0, |id| &self.entries[id as usize].text);
        self.entries[id.0 as usize].text = Arc::from("");
        self.free.push(id.0);
    }

    /// What filters say of names is asked anew: they are others.
    pub(crate) fn forget_verdicts(&mut self) {
        for name in &mut self.entries {
            (name.verdicts_known, name.verdicts) = (0, 0);
        }
    }

    pub(crate) fn get(&self, id: NameId) -> &Name {
        &self.entries[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: NameId) -> &mut Name {
        &mut self.entries[id.0 as usize]
    }

    /// A number from 0 to `lanes` - 1 (which is at least 1) that is always the same for one name. Names are dealt out in turn: a dump then
    /// gives each lane the same number of states, where a hash would give the fullest of 64 lanes a fifth more than the others.
    pub(crate) fn lane_of(&self, id: NameId, lanes: u16) -> u16 {
        let lane = self.entries[id.0 as usize].ordinal % u32::from(lanes);
        u16::try_from(lane).unwrap_or(0)
    }

    /// The names of `kind` in byte order, those after `after` only.
    pub(crate) fn after<'a>(
        &'a self,
        kind: Kind,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a str, NameId)> + 'a {
        let text_of = |id: u32| &*self.entries[id as usize].text;
        self.in_order[kind as usize]
            .after(after, text_of)
            .map(move |id| (text_of(id), NameId(id)))
    }

    #[cfg(test)]
    fn len(&self, kind: Kind) -> usize {
        self.in_order[kind as usize].len()
    }

    fn hash(&self, kind: Kind, text: &str) -> u64 {
        keyed_hash(self.key, kind, text)
    }
}

fn keyed_hash(key: (u64, u64), kind: Kind, text: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write_u8(kind as u8);
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_kinds_are_apart() {
        let mut names = Names::new((1, 2));
        let device = names.intern(Kind::Device, "100");
        let mailbox = names.intern(Kind::Mailbox, "100");
        assert_ne!(device, mailbox);
        assert_eq!(names.intern(Kind::Device, "100"), device);
        assert_eq!(names.find(Kind::Mailbox, "100"), Some(mailbox));
        assert_eq!(names.find(Kind::Mailbox, "101"), None);
    }

    #[test]
    fn in_order_and_after() {
        let mut names = Names::new((1, 2));
        for text in ["b", "a", "c", "B"] {
            names.intern(Kind::Device, text);
        }
        let list = |after| {
            names
                .after(Kind::Device, after)
                .map(|(text, _)| text)
                .collect::<Vec<_>>()
        };
        assert_eq!(list(None), ["B", "a", "b", "c"]);
        assert_eq!(list(Some("a")), ["b", "c"]);
        assert_eq!(list(Some("aa")), ["b", "c"]);
    }

    #[test]
    fn a_forgotten_name_leaves_its_number() {
        let mut names = Names::new((1, 2));
        let first = names.intern(Kind::Device, "first");
        names.remove(first);
        assert_eq!(names.find(Kind::Device, "first"), None);
        assert_eq!(names.intern(Kind::Device, "second"), first);
        assert_eq!(names.len(Kind::Device), 1);
    }

    #[test]
    fn lanes_are_even_and_steady() {
        let mut names = Names::new((1, 2));
        let mut count = [0; 8];
        for number in 0..8000 {
            let id = names.intern(Kind::Device, &format!("PJSIP/{number}"));
            names.intern(Kind::Mailbox, &number.to_string());
            count[usize::from(names.lane_of(id, 8))] += 1;
        }
        assert_eq!(count, [1000; 8]);
    }
}
