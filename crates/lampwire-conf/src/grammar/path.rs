//! Names of files as text: no file system is asked.

/// The part of a path up to and with its last slash; empty where it has none.
pub(crate) fn directory(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

/// `name` seen from the directory of the file `from`.
pub(crate) fn beside(from: &str, name: &str) -> String {
    if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("{}{name}", directory(from))
    }
}

/// Whether the name is a pattern rather than one file.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// One spelling for paths that differ in `.`, `..` and doubled slashes only, to see that a file includes itself.
pub(crate) fn canonical(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_including_file() {
        assert_eq!(
            beside("/etc/asterisk/pjsip.conf", "a.conf"),
            "/etc/asterisk/a.conf"
        );
        assert_eq!(beside("pjsip.conf", "d/a.conf"), "d/a.conf");
        assert_eq!(beside("d/pjsip.conf", "/a.conf"), "/a.conf");
    }

    #[test]
    fn one_spelling() {
        assert_eq!(canonical("/a//./b/../c"), "/a/c");
        assert_eq!(canonical("../a/../b"), "../b");
        assert_eq!(canonical("./a"), "a");
    }
}
