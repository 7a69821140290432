//! What an Asterisk says: the answer to an action, or an event.

/// One message: its lines in order, and what a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    headers: Vec<(String, String)>,
    output: Vec<String>,
}

impl Message {
    /// The first value of a name, which is compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The number of the action that this answers; an event in a list that an action asked for has it as well. `None`: nobody's, or not
    /// one that [`Action`](crate::Action) makes.
    pub fn action_id(&self) -> Option<u64> {
        self.get("ActionID")?.parse().ok()
    }

    /// The event's name, where it is one.
    pub fn event(&self) -> Option<&str> {
        self.get("Event")
    }

    /// Whether it is the answer to an action, and not an event.
    pub fn is_response(&self) -> bool {
        self.get("Response").is_some()
    }

    /// Whether it is the answer to an action that was done.
    pub fn is_success(&self) -> bool {
        self.get("Response").is_some_and(|word| {
            ["Success", "Follows", "Pong"]
                .iter()
                .any(|good| word.eq_ignore_ascii_case(good))
        })
    }

    /// What a command of the command line printed, by line.
    pub fn output(&self) -> impl Iterator<Item = &str> {
        self.output.iter().map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.output.is_empty()
    }

    pub(crate) fn add(&mut self, name: &str, value: &str) {
        // Since Asterisk 14 each line that a command prints is a line of the message.
        if name.eq_ignore_ascii_case("Output") {
            self.output.push(value.to_owned());
        } else {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn add_output(&mut self, line: &str) {
        self.output.push(line.to_owned());
    }
}
