//! Host names to addresses, by the system's resolver (`/etc/hosts`, DNS as configured there).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

/// How long the system may take. glibc gives up after some ten seconds with one server, thirty with three.
const TIME_MAX: Duration = Duration::from_secs(15);

/// The most names that are asked for at a time: each holds a thread while it waits.
const AT_A_TIME: usize = 16;

/// The most answers that wait for the node.
const ANSWERS_WAITING: usize = 64;

/// A name and what is known of it now.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) host: String,
    pub(crate) addresses: Result<Vec<IpAddr>, String>,
}

/// Asks, and collects the answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    answers: mpsc::Receiver<Answer>,
    answered: mpsc::Sender<Answer>,
    turn: Arc<Semaphore>,
}

impl Resolver {
    /// One that has nothing to do.
    pub(crate) fn new() -> Self {
        let (answered, answers) = mpsc::channel(ANSWERS_WAITING);
        Self {
            answers,
            answered,
            turn: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Begins to ask for a name. The node asks for the names of its configuration, each once until it is answered: so
    /// there are never more than those.
    pub(crate) fn ask(&self, host: String) {
        let (answered, turn) = (self.answered.clone(), Arc::clone(&self.turn));
        tokio::spawn(async move {
            let Ok(_permit) = turn.acquire().await else {
                return;
            };
            let addresses = lookup(&host).await;
            // An error: the node has ended.
            let _ = answered.send(Answer { host, addresses }).await;
        });
    }

    /// The next answer. Can be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            // Never: this end holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

async fn lookup(host: &str) -> Result<Vec<IpAddr>, String> {
    match tokio::time::timeout(TIME_MAX, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIME_MAX.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_and_a_name_of_this_machine_are_answered() {
        let mut resolver = Resolver::new();
        resolver.ask("127.0.1.9".to_owned());
        let answer = resolver.next().await;
        assert_eq!(answer.host, "127.0.1.9");
        assert_eq!(
            answer.addresses,
            Ok(vec!["127.0.1.9".parse().expect("an address")])
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_is_an_error() {
        let mut resolver = Resolver::new();
        resolver.ask("no name at all".to_owned());
        assert!(resolver.next().await.addresses.is_err());
    }
}
