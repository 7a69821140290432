//! Whatever the bytes are: diagnostics, and no panic.
#![allow(clippy::unwrap_used)]

use lampwire_conf::fuzzing;
use proptest::prelude::*;

/// Pieces from which something like a configuration is put together.
const PIECES: &[&str] = &[
    "[a]\n",
    "[b](!)\n",
    "[a](+)\n",
    "[c](b,a)\n",
    "[a](+type=auth)\n",
    "[instance1]\n",
    "[a](!,b,+)\n",
    "[",
    "]",
    "(",
    ")",
    "\n",
    "\n",
    "\n",
    "type=endpoint\n",
    "type=auth\n",
    "type=transport\n",
    "type=identify\n",
    "type=acl\n",
    "type=outbound-publish\n",
    "type=inbound-publication\n",
    "type=asterisk-publication\n",
    "type=lampwire\n",
    "type=global\n",
    "type=system\n",
    "type=aor\n",
    "type=",
    "bind=0.0.0.0\n",
    "bind=[::]:5061\n",
    "protocol=tcp\n",
    "protocol=ws\n",
    "server_uri=sip:a@b\n",
    "event=asterisk-mwi\n",
    "event=presence\n",
    "endpoint=a\n",
    "transport=a\n",
    "auth=a,b\n",
    "acl=a\n",
    "match=10.0.0.0/8,!10.0.0.1,pbx.example\n",
    "match_header=X-A: /^a/\n",
    "permit=::/0\n",
    "deny=0.0.0.0/0.0.0.0\n",
    "username=u\n",
    "password=p\n",
    "auth_type=digest\n",
    "password_digest=MD5:00\n",
    "devicestate_publish=a\n",
    "device_state=yes\n",
    "device_state_filter=^(a|b\n",
    "@lanes=9\n",
    "@lanse=1\n",
    "@mailbox_owner=^1 a\n",
    "@allowed_eids=02:*\n",
    "http_token=@/missing\n",
    "http_bind=0.0.0.0:1\n",
    "#include x\n",
    "#tryinclude \"missing\"\n",
    "#exec a\n",
    "#include <a*>\n",
    ";--",
    "--;",
    ";",
    "\\;",
    "+=x\n",
    "=",
    "=>",
    "\\",
    "\r\n",
    "\0",
    "é",
    "x=y\n",
    "option += z\n",
    "\u{feff}",
    "event_asterisk-mwi=a\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn configurations_of_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        fuzzing::configuration(pieces.concat().as_bytes());
    }

    #[test]
    fn configurations_of_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::configuration(&bytes);
    }

    #[test]
    fn filters_of_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        fuzzing::filter(&bytes);
    }
}
