//! Something that counts for whoever begins now, and may be another later: the configuration, certificates.

use std::sync::{Arc, PoisonError, RwLock};

/// What counts now; all clones are of the same.
#[derive(Debug)]
pub(crate) struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Current<T> {
    pub(crate) fn new(first: Arc<T>) -> Self {
        Self(Arc::new(RwLock::new(first)))
    }

    /// It, as it is now.
    pub(crate) fn get(&self) -> Arc<T> {
        // Nothing panics while it is held: it is only cloned and put there.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another counts from now on. Whoever has the former one keeps it.
    pub(crate) fn set(&self, next: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
