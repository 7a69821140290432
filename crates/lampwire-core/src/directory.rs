//! What the DNS has said: believed for as long as it says, kept beyond that where it says nothing more, and asked again in time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::io::{Answer, NaptrRecord, Outbox, Query, Records, SrvRecord};
use crate::limits;
use crate::time::Time;
use crate::timers::{Timer, Timers};

/// All questions that somebody wants answered, each asked once for all who want it.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: BTreeMap<Query, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The last good answer; `None` before the first.
    records: Option<Records>,
    /// Why the last question had no answer.
    problem: Option<String>,
    /// It was answered once, if only by that there is nothing. Many servers do not answer what they have no services for at all.
    settled: bool,
    /// When it is to be asked again; `None` while it is being asked.
    ask_at: Option<Time>,
    /// It was looked at since it was last asked. What nobody looks at any more is forgotten.
    used: bool,
}

/// What is known of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known<'a, T> {
    /// The records; empty: there are none.
    Yes(&'a [T]),
    /// It is being asked for the first time.
    NotYet,
    /// It was asked in vain, and never answered before.
    Never(&'a str),
}

impl Directory {
    /// Sees to it that a question is asked, now and again in its time.
    pub(crate) fn want(&mut self, outbox: &mut Outbox, query: Query) {
        if let Some(entry) = self.entries.get_mut(&query) {
            entry.used = true;
        } else if self.entries.len() < limits::DNS_QUESTIONS {
            outbox.query(query.clone());
            let entry = Entry {
                records: None,
                problem: None,
                settled: false,
                ask_at: None,
                used: true,
            };
            self.entries.insert(query, entry);
        }
    }

    /// A question was answered, or not. Tells whether it was one of ours; an answer without addresses is an error, and what was known stays.
    pub(crate) fn answer(
        &mut self,
        now: Time,
        timers: &mut Timers,
        query: &Query,
        answer: Result<Answer, String>,
    ) -> Result<bool, String> {
        let Some(entry) = self.entries.get_mut(query) else {
            return Ok(false);
        };
        entry.used = false;
        entry.settled |= answer.is_ok() || !matches!(query, Query::Addresses(_));
        let answer = answer.and_then(|answer| match (query, &answer.records) {
            (Query::Addresses(_), Records::Addresses(addresses)) if addresses.is_empty() => {
                Err("it has no address".to_owned())
            }
            (Query::Addresses(_), Records::Addresses(_))
            | (Query::Srv(_), Records::Srv(_))
            | (Query::Naptr(_), Records::Naptr(_)) => Ok(answer),
            _ => Err("the answer is of another kind".to_owned()),
        });
        let result = match answer {
            Ok(Answer {
                mut records,
                valid_for,
            }) => {
                match &mut records {
                    Records::Addresses(list) => list.truncate(limits::DNS_RECORDS),
                    Records::Srv(list) => list.truncate(limits::DNS_RECORDS),
                    Records::Naptr(list) => list.truncate(limits::DNS_RECORDS),
                }
                entry.records = Some(records);
                entry.problem = None;
                entry.ask_at = Some(now + valid_for.clamp(limits::DNS_SOONEST, limits::DNS_LATEST));
                Ok(true)
            }
            Err(problem) => {
                entry.problem = Some(problem.clone());
                entry.ask_at = Some(now + limits::DNS_SOONEST);
                Err(problem)
            }
        };
        self.set_timer(timers);
        result
    }

    /// Asks again what is due.
    pub(crate) fn ask_again(&mut self, now: Time, outbox: &mut Outbox, timers: &mut Timers) {
        self.entries.retain(|query, entry| {
            let due = entry.ask_at.is_some_and(|at| at <= now);
            if due && entry.used {
                entry.ask_at = None;
                outbox.query(query.clone());
            }
            !due || entry.used
        });
        self.set_timer(timers);
    }

    fn set_timer(&self, timers: &mut Timers) {
        match self.entries.values().filter_map(|entry| entry.ask_at).min() {
            Some(at) => timers.set(Timer::Names, at),
            None => timers.clear(Timer::Names),
        }
    }

    /// Whether some question that is still of interest waits for its first answer.
    pub(crate) fn awaits_any(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| entry.used && !entry.settled)
    }

    /// Whether an answer was ever given.
    pub(crate) fn is_known(&self, query: &Query) -> bool {
        self.entries
            .get(query)
            .is_some_and(|entry| entry.records.is_some())
    }

    pub(crate) fn addresses(&self, host: &str) -> Known<'_, IpAddr> {
        self.known(
            &Query::Addresses(host.to_owned()),
            |records| match records {
                Records::Addresses(list) => list,
                Records::Srv(_) | Records::Naptr(_) => &[],
            },
        )
    }

    pub(crate) fn servers(&self, service: &str) -> Known<'_, SrvRecord> {
        self.known(&Query::Srv(service.to_owned()), |records| match records {
            Records::Srv(list) => list,
            Records::Addresses(_) | Records::Naptr(_) => &[],
        })
    }

    pub(crate) fn ways(&self, domain: &str) -> Known<'_, NaptrRecord> {
        self.known(&Query::Naptr(domain.to_owned()), |records| match records {
            Records::Naptr(list) => list,
            Records::Addresses(_) | Records::Srv(_) => &[],
        })
    }

    /// Whether an address is behind any of the names.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.entries.values().any(|entry| match &entry.records {
            Some(Records::Addresses(list)) => list.contains(&address),
            Some(Records::Srv(_) | Records::Naptr(_)) | None => false,
        })
    }

    fn known<'a, T>(
        &'a self,
        query: &Query,
        list: impl Fn(&'a Records) -> &'a [T],
    ) -> Known<'a, T> {
        match self.entries.get(query) {
            Some(Entry {
                records: Some(records),
                ..
            }) => Known::Yes(list(records)),
            Some(Entry {
                problem: Some(problem),
                ..
            }) => Known::Never(problem),
            Some(_) => Known::NotYet,
            None => Known::Never("too many names"),
        }
    }
}

/// How long until what an answer said is asked again, for the tests of other files.
#[cfg(test)]
pub(crate) const A_MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(outbox: &mut Outbox) -> usize {
        std::iter::from_fn(|| outbox.poll_query()).count()
    }

    fn found(address: &str) -> Result<Answer, String> {
        Ok(Answer {
            records: Records::Addresses(vec![address.parse().unwrap()]),
            valid_for: A_MINUTE,
        })
    }

    #[test]
    fn asks_once_and_again_in_time_and_keeps_what_it_knew() {
        let (mut directory, mut outbox, mut timers) =
            (Directory::default(), Outbox::default(), Timers::default());
        let query = Query::Addresses("a.example".to_owned());
        let mut now = Time::from_micros(0);
        directory.want(&mut outbox, query.clone());
        directory.want(&mut outbox, query.clone());
        assert_eq!(asked(&mut outbox), 1);
        assert_eq!(directory.addresses("a.example"), Known::NotYet);
        assert_eq!(
            directory.answer(now, &mut timers, &query, found("127.0.0.9")),
            Ok(true)
        );
        directory.want(&mut outbox, query.clone());

        now = now + A_MINUTE;
        assert_eq!(timers.pop(now), Some(Timer::Names));
        directory.ask_again(now, &mut outbox, &mut timers);
        assert_eq!(asked(&mut outbox), 1);
        let nothing = Answer {
            records: Records::Addresses(Vec::new()),
            valid_for: A_MINUTE,
        };
        for bad in [Err("no answer".to_owned()), Ok(nothing)] {
            assert!(directory.answer(now, &mut timers, &query, bad).is_err());
            let address: IpAddr = "127.0.0.9".parse().unwrap();
            assert_eq!(directory.addresses("a.example"), Known::Yes(&[address]));
            assert!(directory.has_address(address));
        }

        // Nobody has looked since: it is forgotten.
        now = now + limits::DNS_SOONEST;
        assert_eq!(timers.pop(now), Some(Timer::Names));
        directory.ask_again(now, &mut outbox, &mut timers);
        assert_eq!(asked(&mut outbox), 0);
        assert!(!directory.is_known(&query));
    }

    #[test]
    fn questions_are_bounded() {
        let (mut directory, mut outbox) = (Directory::default(), Outbox::default());
        for number in 0..limits::DNS_QUESTIONS + 5 {
            directory.want(&mut outbox, Query::Srv(number.to_string()));
        }
        assert_eq!(asked(&mut outbox), limits::DNS_QUESTIONS);
    }
}
