//! libc regcomp.
