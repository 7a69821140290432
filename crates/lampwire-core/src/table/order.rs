//! Names in the order of their bytes, by their numbers alone: the texts stand elsewhere.

/// The numbers of names, in order, in runs: one name that comes or goes moves no more than a run, or the list of runs.
#[derive(Debug, Default)]
pub(super) struct Order {
    runs: Vec<Vec<u32>>,
}

/// The longest run: short enough to be moved for each name, and a million names have few enough of them to be moved for each.
const RUN: usize = 512;

impl Order {
    /// Puts a number in its place. `text_of` gives the name of each number.
    pub(super) fn insert<'t>(&mut self, id: u32, text_of: impl Fn(u32) -> &'t str) {
        let (at, place) = self.find(text_of(id), &text_of);
        let is_last = at + 1 >= self.runs.len();
        match self.runs.get_mut(at) {
            Some(run) if run.len() < RUN => run.insert(place, id),
            // Names that come in order leave full runs behind them.
            Some(run) if !(is_last && place == run.len()) => {
                let tail = run.split_off(RUN / 2);
                match place.checked_sub(RUN / 2) {
                    Some(place) if place > 0 => {
                        self.runs.insert(at + 1, tail);
                        self.runs[at + 1].insert(place, id);
                    }
                    Some(_) | None => {
                        run.insert(place, id);
                        self.runs.insert(at + 1, tail);
                    }
                }
            }
            Some(_) | None => self.runs.push(vec![id]),
        }
    }

    /// Takes a number out, whose name is still known.
    pub(super) fn remove<'t>(&mut self, id: u32, text_of: impl Fn(u32) -> &'t str) {
        let (at, place) = self.find(text_of(id), &text_of);
        let Some(run) = self.runs.get_mut(at) else {
            return;
        };
        if run.get(place) == Some(&id) {
            run.remove(place);
            self.join(at);
            self.join(at.saturating_sub(1));
        }
    }

    /// The numbers in order, those behind `after` only.
    pub(super) fn after<'t>(
        &self,
        after: Option<&str>,
        text_of: impl Fn(u32) -> &'t str,
    ) -> impl Iterator<Item = u32> + '_ {
        let (at, place) = after.map_or((0, 0), |after| self.find(after, &text_of));
        let behind = self.runs.iter().skip(at).flatten().skip(place).copied();
        let is_it = |id: &u32| after.is_some_and(|after| text_of(*id) == after);
        let skip = behind.clone().next().filter(is_it).map_or(0, |_| 1);
        behind.skip(skip)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    /// The run in which a text stands or would stand, and its place there.
    fn find<'t>(&self, text: &str, text_of: impl Fn(u32) -> &'t str) -> (usize, usize) {
        let begins_at_most = |run: &Vec<u32>| run.first().is_some_and(|id| text_of(*id) <= text);
        let at = self.runs.partition_point(begins_at_most).saturating_sub(1);
        let run = self.runs.get(at).map_or(&[][..], Vec::as_slice);
        (at, run.partition_point(|id| text_of(*id) < text))
    }

    /// Makes one run of this one and the next, where both are short. None is left empty.
    fn join(&mut self, at: usize) {
        let short = |pair: &[Vec<u32>]| pair.iter().map(Vec::len).sum::<usize>() <= RUN / 2;
        if self.runs.get(at..at + 2).is_some_and(short) {
            let next = self.runs.remove(at + 1);
            self.runs[at].extend(next);
            self.runs[at].shrink_to_fit();
        }
        if self.runs.get(at).is_some_and(Vec::is_empty) {
            self.runs.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    /// Numbers and their names, as they should be found.
    fn check(order: &Order, texts: &[String], model: &BTreeMap<&str, u32>) {
        let text_of = |id: u32| texts[id as usize].as_str();
        let all: Vec<u32> = order.after(None, text_of).collect();
        assert_eq!(all, model.values().copied().collect::<Vec<_>>());
        assert!(order.runs.iter().all(|run| (1..=RUN).contains(&run.len())));
    }

    #[test]
    fn names_that_come_in_order_leave_full_runs() {
        let texts: Vec<String> = (0..5000).map(|number| format!("{number:05}")).collect();
        let mut order = Order::default();
        for id in 0..5000 {
            order.insert(id, |id| texts[id as usize].as_str());
        }
        assert_eq!((order.runs.len(), order.len()), (10, 5000));
    }

    #[test]
    fn names_that_go_take_their_runs_with_them() {
        let texts: Vec<String> = (0..5000).map(|number| format!("{number:05}")).collect();
        let text_of = |id: u32| texts[id as usize].as_str();
        let mut order = Order::default();
        for id in (0..5000).rev() {
            order.insert(id, text_of);
        }
        for id in (0..5000).filter(|id| id % 100 != 7) {
            order.remove(id, text_of);
        }
        assert_eq!((order.runs.len(), order.len()), (1, 50));
        for id in (0..5000).filter(|id| id % 100 == 7) {
            order.remove(id, text_of);
        }
        assert!(order.runs.is_empty());
    }

    proptest! {
        #[test]
        fn it_is_as_a_sorted_map(
            texts in prop::collection::vec("[a-c]{0,6}", 1..1500),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5), 0..3000),
            after in "[a-c]{0,6}",
        ) {
            let text_of = |id: u32| texts[id as usize].as_str();
            let (mut order, mut model) = (Order::default(), BTreeMap::new());
            for (index, text) in texts.iter().enumerate() {
                let id = u32::try_from(index).unwrap();
                if !model.contains_key(text.as_str()) {
                    model.insert(text.as_str(), id);
                    order.insert(id, text_of);
                }
            }
            check(&order, &texts, &model);
            for (index, step) in steps {
                let id = u32::try_from(index.index(texts.len())).unwrap();
                match (model.get(text_of(id)), step) {
                    (Some(id), 0..4) => {
                        let id = *id;
                        model.remove(text_of(id));
                        order.remove(id, text_of);
                    }
                    (None, 4) => {
                        model.insert(text_of(id), id);
                        order.insert(id, text_of);
                    }
                    _ => {}
                }
            }
            check(&order, &texts, &model);
            let behind: Vec<u32> = order.after(Some(&after), text_of).collect();
            let expected = model.range::<str, _>((std::ops::Bound::Excluded(&*after), std::ops::Bound::Unbounded));
            prop_assert_eq!(behind, expected.map(|(_, id)| *id).collect::<Vec<_>>());
        }
    }
}
