//! libc's `regcomp` and `regexec` behind a safe function, for differential tests of filters. Never shipped: only
//! a dev-dependency, and the only place of the workspace where unsafe code stands.
//!
//! ```
//! use posix_regex_oracle::{Locale, Pattern};
//!
//! let pattern = Pattern::new("^pjsip/", Locale::C)?;
//! assert_eq!(pattern.is_match("PJSIP/1000"), Some(true));
//! assert_eq!(Pattern::new("(", Locale::C).err().map(|error| error.message.contains("Unmatched")), Some(true));
//! # Ok::<(), posix_regex_oracle::Error>(())
//! ```
#![warn(missing_docs)]

use std::ffi::CString;
use std::mem::MaybeUninit;

/// The locale in which patterns are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locale {
    /// Bytes.
    C,
    /// UTF-8.
    Utf8,
}

/// Whether letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// REG_ICASE.
    Ignored,
    /// REG_EXTENDED alone.
    Kept,
}

/// A compiled pattern (REG_EXTENDED and REG_NOSUB, with REG_ICASE unless asked otherwise).
pub struct Pattern {
    compiled: Box<libc::regex_t>,
    locale: Locale,
}

/// Why `regcomp` does not take a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Its code, REG_BADPAT and so on; 0: the pattern has a NUL in it.
    pub code: i32,
    /// What `regerror` says of it.
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Pattern {
    /// Compiles the pattern without case.
    pub fn new(pattern: &str, locale: Locale) -> Result<Self, Error> {
        Self::with_case(pattern, locale, Case::Ignored)
    }

    /// Compiles the pattern.
    pub fn with_case(pattern: &str, locale: Locale, case: Case) -> Result<Self, Error> {
        let text = CString::new(pattern).map_err(|_| Error {
            code: 0,
            message: "NUL in the pattern".to_owned(),
        })?;
        let flags = libc::REG_EXTENDED
            | libc::REG_NOSUB
            | if case == Case::Ignored {
                libc::REG_ICASE
            } else {
                0
            };
        let mut compiled: Box<MaybeUninit<libc::regex_t>> = Box::new(MaybeUninit::zeroed());
        // SAFETY: both pointers are valid for the call; regcomp initialises the structure when it returns 0.
        let code = within(locale, || unsafe {
            libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), flags)
        });
        if code != 0 {
            let mut buffer = [0u8; 256];
            // SAFETY: the buffer has the length that is told; regerror reads no more than the structure's codes.
            let length = unsafe {
                libc::regerror(
                    code,
                    compiled.as_ptr(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                )
            };
            let text = &buffer[..length.saturating_sub(1).min(buffer.len())];
            return Err(Error {
                code,
                message: String::from_utf8_lossy(text).into_owned(),
            });
        }
        // SAFETY: regcomp returned 0, so all of it is initialised; the box keeps it where it is.
        let compiled = unsafe { Box::from_raw(Box::into_raw(compiled).cast::<libc::regex_t>()) };
        Ok(Self { compiled, locale })
    }

    /// Whether the pattern is found in the text. None: the text has a NUL in it, or `regexec` ran out of memory.
    pub fn is_match(&self, text: &str) -> Option<bool> {
        let text = CString::new(text).ok()?;
        // SAFETY: the pattern is compiled, the text ends in NUL, and no matches are asked for.
        let code = within(self.locale, || unsafe {
            libc::regexec(&*self.compiled, text.as_ptr(), 0, std::ptr::null_mut(), 0)
        });
        match code {
            0 => Some(true),
            libc::REG_NOMATCH => Some(false),
            _ => None,
        }
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: it was compiled, and is freed once.
        unsafe { libc::regfree(&mut *self.compiled) };
    }
}

/// Runs with the locale set for this thread alone.
fn within<T>(locale: Locale, run: impl FnOnce() -> T) -> T {
    let name: &std::ffi::CStr = match locale {
        Locale::C => c"C",
        Locale::Utf8 => c"C.UTF-8",
    };
    // SAFETY: the name is a C string; the new locale is used by this thread only until it is freed, after the old one
    // is back in place. A locale that cannot be had is a fault of the machine that no test may pass over.
    unsafe {
        let new = libc::newlocale(libc::LC_ALL_MASK, name.as_ptr(), std::ptr::null_mut());
        assert!(!new.is_null(), "the machine has no locale {name:?}");
        let old = libc::uselocale(new);
        let result = run();
        libc::uselocale(old);
        libc::freelocale(new);
        result
    }
}
