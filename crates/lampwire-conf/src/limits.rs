//! Every bound of this crate, each with its reason. A configuration is written by the operator, yet a wrong
//! include (a log file, `/dev/zero`, a file that includes itself) must end in a diagnostic, never in a hang.

/// Longest line in bytes, without its line feed. Asterisk reads into 8,192 bytes and skips a line that does not fit.
pub const MAX_LINE: usize = 8_190;
/// Largest single file in bytes. Ten thousand endpoints with everything written out take about 10 MB.
pub const MAX_FILE: usize = 32 * 1024 * 1024;
/// Most bytes of all files together: what one load may keep in memory.
pub const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// Most files that one load reads, the first one counted. A directory with a file per customer stays below.
pub const MAX_FILES: usize = 10_000;
/// How deep includes may nest, the first file not counted. Asterisk's own bound.
pub const MAX_INCLUDE_DEPTH: usize = 10;
/// How deep block comments may nest. Asterisk's own bound.
pub const MAX_COMMENT_DEPTH: usize = 128;
/// Most sections of one load, templates counted.
pub const MAX_SECTIONS: usize = 500_000;
/// Most option lines in one section, inherited ones counted: an `identify` may list thousands of addresses.
pub const MAX_SECTION_OPTIONS: usize = 20_000;
/// Most option lines of all sections together, inherited ones counted once for each heir. Inheritance from two
/// templates that inherit from two others doubles at each step.
pub const MAX_OPTIONS: usize = 4_000_000;
/// Longest value in bytes that lines of `+=` may make.
pub const MAX_VALUE: usize = 128 * 1024;
/// Most lines looked at for `+=` and `(+type=...)`, which search a section or all sections of a name each time.
pub const MAX_STEPS: usize = 50_000_000;
/// Among how many sections of a file the nearest name is sought: the search runs for each wrong name.
pub const MAX_NEAREST_AMONG: usize = 10_000;
/// Most diagnostics that are kept. Nobody reads more, and the last one says how many are missing.
pub const MAX_DIAGNOSTICS: usize = 1_000;
/// Longest text of the user's that a message quotes, in characters.
pub const MAX_QUOTE: usize = 80;
/// Longest word for which a nearest name is sought. No known name is longer than half of it.
pub const MAX_NEAREST: usize = 80;

/// Longest filter pattern in bytes. A list of a hundred extensions takes a tenth of it.
pub const MAX_PATTERN: usize = 4_096;
/// How deep the groups and stacked repetitions of a pattern may nest: the translation is recursive.
pub const MAX_PATTERN_NESTING: usize = 64;
/// Most characters and brackets of a pattern once its repetitions are written out: `(a{100}){100}` is 10,000. libc allows
/// `a{32767}`, and needs hundreds of megabytes for what follows from it.
pub const MAX_PATTERN_SIZE: u64 = 10_000;
/// Largest automaton of one pattern in bytes.
pub const MAX_PATTERN_MEMORY: usize = 8 * 1024 * 1024;
/// The highest count in `{m,n}`: RE_DUP_MAX of glibc.
pub const MAX_REPEAT: u32 = 32_767;
/// Longest name between `[:` and `:]`: glibc's buffer for it.
pub const MAX_CLASS_NAME: usize = 32;
