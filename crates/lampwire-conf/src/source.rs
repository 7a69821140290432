//! Where the text of a configuration comes from.

use std::collections::BTreeMap;

/// Where text comes from. This crate opens no file: the program implements it over the file system, tests use [`MapSource`].
pub trait Source {
    /// The bytes of the file. Err: a sentence for the user ("No such file or directory").
    ///
    /// An implementation over the file system should read no more than [`crate::limits::MAX_FILE`] + 1 bytes: longer
    /// files are refused.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String>;
    /// The paths that the pattern (`*`, `?`, `[...]`) matches, sorted; none is no error. Err: a sentence for the user.
    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String>;
}

/// Files kept in memory, for tests and for checking text that stands in no file.
///
/// ```
/// use lampwire_conf::{MapSource, Source};
///
/// let mut source = MapSource::new([("a.conf", "[a]\n"), ("d/b.conf", "[b]\n")]);
/// assert_eq!(source.glob("d/*.conf"), Ok(vec!["d/b.conf".to_owned()]));
/// assert!(source.read("c.conf").is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct MapSource {
    files: BTreeMap<String, Vec<u8>>,
}

impl MapSource {
    /// A source of these files: pairs of path and content.
    pub fn new<P, C>(files: impl IntoIterator<Item = (P, C)>) -> Self
    where
        P: Into<String>,
        C: Into<Vec<u8>>,
    {
        Self {
            files: files
                .into_iter()
                .map(|(path, content)| (path.into(), content.into()))
                .collect(),
        }
    }

    /// Adds a file or replaces it.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), content.into());
    }
}

impl Source for MapSource {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| "No such file or directory".to_owned())
    }

    /// `*` and `?` stand for anything but a slash; brackets are not understood.
    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(self
            .files
            .keys()
            .filter(|path| wildcard_matches(pattern.as_bytes(), path.as_bytes()))
            .cloned()
            .collect())
    }
}

/// Matches with one point to go back to, so it takes no longer than pattern times text.
fn wildcard_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(b'?') if text[at_text] != b'/' => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(byte) if *byte == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => match star {
                Some((star_pattern, star_text)) if text[star_text] != b'/' => {
                    star = Some((star_pattern, star_text + 1));
                    at_pattern = star_pattern + 1;
                    at_text = star_text + 1;
                }
                Some(_) | None => return false,
            },
        }
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, matches) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a/*.conf", "a/x.conf", true),
            ("a/*.conf", "a/b/x.conf", false),
            ("*/*.conf", "b/x.conf", true),
            ("?", "", false),
            ("a?", "ab", true),
            ("", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(
                wildcard_matches(pattern.as_bytes(), text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
    }
}
