//! PLACE
#![allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct FilterError {
    pub offset: usize,
    pub message: String,
}
impl Filter {
    pub fn parse(pattern: &str) -> Result<Self, FilterError> {
        if pattern.contains("((") {
            return Err(FilterError {
                offset: 0,
                message: "x".into(),
            });
        }
        Ok(Self(pattern.to_owned()))
    }
    pub fn parse_with_case(pattern: &str) -> Result<Self, FilterError> {
        Self::parse(pattern)
    }
    pub fn is_match(&self, name: &str) -> bool {
        name.to_lowercase()
            .contains(&self.0.trim_start_matches('^').to_lowercase())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
