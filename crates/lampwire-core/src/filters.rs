//! Filters by number, and their verdicts remembered with each name.

use lampwire_conf::Filter;

use crate::limits;
use crate::table::{NameId, Names};

/// A filter's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterId(u16);

/// The distinct filters of a configuration. A verdict depends on the filter's and the name's text alone, so it is remembered with the
/// name: fifty publishers with one filter cost one match.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    list: Vec<Filter>,
}

impl Filters {
    /// The number of `filter`; two with the same text share one.
    pub(crate) fn intern(&mut self, filter: &Filter) -> FilterId {
        let known = self
            .list
            .iter()
            .position(|other| other.as_str() == filter.as_str());
        let index = known.unwrap_or_else(|| {
            self.list.push(filter.clone());
            self.list.len() - 1
        });
        FilterId(u16::try_from(index).expect("sections are bounded below 65,536"))
    }

    /// A filter as it is written.
    pub(crate) fn text(&self, filter: FilterId) -> &str {
        self.list[usize::from(filter.0)].as_str()
    }

    /// Whether `filter` wants a name that stands in no table.
    pub(crate) fn matches(&self, filter: Option<FilterId>, name: &str) -> bool {
        filter.is_none_or(|id| self.list[usize::from(id.0)].is_match(name))
    }

    /// Whether `filter` wants a name, by what was remembered where possible.
    pub(crate) fn wants(&self, filter: Option<FilterId>, names: &Names, id: NameId) -> bool {
        let Some(filter) = filter else { return true };
        let name = names.get(id);
        match Self::bit(filter) {
            Some(bit) if name.verdicts_known & bit != 0 => name.verdicts & bit != 0,
            Some(_) | None => self.list[usize::from(filter.0)].is_match(&name.text),
        }
    }

    /// Remembers all verdicts on a name that changes.
    pub(crate) fn remember(&self, names: &mut Names, id: NameId) {
        let known = self.list.len().min(limits::FILTERS_REMEMBERED);
        let all = u16::try_from((1u32 << known) - 1).unwrap_or(u16::MAX);
        let name = names.get_mut(id);
        if name.verdicts_known == all {
            return;
        }
        name.verdicts = 0;
        for (index, filter) in self.list.iter().take(known).enumerate() {
            name.verdicts |= u16::from(filter.is_match(&name.text)) << index;
        }
        name.verdicts_known = all;
    }

    fn bit(filter: FilterId) -> Option<u16> {
        (usize::from(filter.0) < limits::FILTERS_REMEMBERED).then(|| 1 << filter.0)
    }
}
