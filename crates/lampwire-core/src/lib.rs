//! The Lampwire node without sockets, clock or threads.
