//! The configuration of a Lampwire node, in the grammar of Asterisk's pjsip.conf.
