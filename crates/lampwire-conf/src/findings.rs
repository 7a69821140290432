//! Every code that a finding can have: what it means, what happens on the wire because of it, how to mend it. The reference for users
//! (`docs/findings.md`) is made from this table, and a finding with a code that is not in it does not pass the tests.

use crate::Severity;

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code itself, in kebab case; it never changes its meaning.
    pub name: &'static str,
    /// How much it matters, at most.
    pub severity: Severity,
    /// What it means: a sentence without a full stop.
    pub means: &'static str,
    /// What happens on the wire, or at the start of the node, because of it: the same.
    pub effect: &'static str,
    /// How to mend it: the same.
    pub mend: &'static str,
}

/// Codes that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The heading.
    pub name: &'static str,
    /// The codes, in alphabetical order.
    pub codes: &'static [Code],
}

/// The heading of the codes that the relations of several instances can have: those that `several` finds beyond what each has by itself.
pub const RELATIONS: &str = "Several instances";

/// What is known of the code; None: there is none of that name.
pub fn code(name: &str) -> Option<&'static Code> {
    GROUPS
        .iter()
        .flat_map(|group| group.codes)
        .find(|code| code.name == name)
}

const fn error(
    name: &'static str,
    means: &'static str,
    effect: &'static str,
    mend: &'static str,
) -> Code {
    Code {
        name,
        severity: Severity::Error,
        means,
        effect,
        mend,
    }
}

const fn warning(
    name: &'static str,
    means: &'static str,
    effect: &'static str,
    mend: &'static str,
) -> Code {
    Code {
        name,
        severity: Severity::Warning,
        means,
        effect,
        mend,
    }
}

const fn note(
    name: &'static str,
    means: &'static str,
    effect: &'static str,
    mend: &'static str,
) -> Code {
    Code {
        name,
        severity: Severity::Note,
        means,
        effect,
        mend,
    }
}

/// Asterisk's answer to most errors of the grammar.
const ENDS: &str = "Asterisk ends its reading of the file here: what it has read is dropped, and the exchange does not begin; Lampwire does not start";
/// Asterisk's answer to the others, and ours.
const SKIPS: &str = "Asterisk skips the line with a warning, so what it asks for does not happen; Lampwire does not start";
/// A section that Asterisk does not make.
const NO_OBJECT: &str = "Asterisk does not make an object of the section: what names it does not work; Lampwire does not start";
/// An option that Asterisk does not take.
const REFUSED: &str = "Asterisk refuses the whole section over one option that it does not take, and what names it does not work; Lampwire does not start";
/// A bound of ours.
const BOUND: &str = "nothing: Lampwire does not start, so that a wrong path cannot fill the memory";

/// All codes.
pub const GROUPS: &[Group] = &[
    Group {
        name: "The grammar",
        codes: &[
            error(
                "adds-to-template",
                "`[name](+)` adds to a template, whose heirs have already been made",
                "the lines reach nobody",
                "put the lines into the template, or add to the sections",
            ),
            error(
                "comment-depth",
                "block comments nest too deeply",
                BOUND,
                "close them by `--;`",
            ),
            error(
                "comment-end",
                "`--;` ends a block comment that has not begun",
                SKIPS,
                "remove it, or begin the comment by `;--`",
            ),
            error(
                "comment-open",
                "a block comment has no end",
                "everything behind it is comment: those sections do not exist",
                "end it by `--;`",
            ),
            error(
                "empty-section-name",
                "a section has no name",
                NO_OBJECT,
                "write `[name]`",
            ),
            error(
                "empty-template-name",
                "a list of templates has an empty name",
                ENDS,
                "remove the comma, or write the name",
            ),
            error(
                "exec",
                "`#exec` would run a program",
                "Lampwire runs none, and does not start",
                "write its output to a file, and include that",
            ),
            error(
                "include",
                "a file that is included cannot be read",
                ENDS,
                "correct the path, or write `#tryinclude`",
            ),
            error(
                "include-count",
                "too many files are included",
                BOUND,
                "narrow the pattern",
            ),
            error(
                "include-cycle",
                "a file includes itself",
                ENDS,
                "remove the include",
            ),
            error(
                "include-depth",
                "includes nest too deeply",
                ENDS,
                "include from the first file",
            ),
            error(
                "include-name",
                "an include names no file",
                SKIPS,
                "name the file",
            ),
            warning(
                "include-nothing",
                "a pattern of an include matches no file",
                "the sections that are meant are not there",
                "correct the pattern, or write `#tryinclude`",
            ),
            error(
                "line-too-long",
                "a line has more than 8,190 bytes",
                "Asterisk skips the line",
                "split it: lists may stand on several lines",
            ),
            error(
                "missing-bracket",
                "a header of a section is not closed",
                ENDS,
                "close it by `]`, or `)` behind templates",
            ),
            error(
                "missing-equals",
                "a line is neither a header nor `option = value`",
                SKIPS,
                "write `option = value`",
            ),
            error(
                "missing-name",
                "a line has a value and no option",
                SKIPS,
                "write `option = value`",
            ),
            error(
                "nul",
                "a line has a NUL byte in it",
                "Asterisk reads the line up to there",
                "write the file as UTF-8",
            ),
            error(
                "not-utf-8",
                "a value is not UTF-8",
                "names are compared byte for byte, so that this one never matches",
                "write the file as UTF-8",
            ),
            error(
                "outside-section",
                "an option stands before the first section",
                ENDS,
                "begin a section by `[name]`",
            ),
            error(
                "section-filter",
                "what stands behind `+` is no `option=value`",
                ENDS,
                "write `(+type=endpoint)`",
            ),
            error(
                "text-after-header",
                "text follows a header, where nothing is read",
                "Asterisk ignores it, templates that were meant among it",
                "put the parenthesis directly behind the bracket, and options on lines of their own",
            ),
            error(
                "too-large",
                "a file, a section or the whole is too large",
                BOUND,
                "split or shorten it",
            ),
            error(
                "unknown-directive",
                "a line begins with `#` and is no directive that is known",
                SKIPS,
                "comments begin with `;`",
            ),
            error(
                "unknown-section",
                "`(+)` adds to a section that is not there",
                ENDS,
                "correct the name, or put the section before",
            ),
            error(
                "unknown-template",
                "a template is not there, or stands later",
                ENDS,
                "correct the name, or put the template before",
            ),
            error(
                "unreadable",
                "a file cannot be read",
                "Lampwire does not start",
                "correct the path or its permissions",
            ),
        ],
    },
    Group {
        name: "Sections and options",
        codes: &[
            error(
                "duplicate-section",
                "two sections have the same name and type",
                "Asterisk keeps one of them, and which is not defined",
                "remove one, or add to the first by `(+)`",
            ),
            warning(
                "filter-of-nothing",
                "a filter of states that are not taken at all",
                "none of these states is taken: the sender hears 200, and they are dropped",
                "set device_state or mailbox_state to yes, or remove the filter",
            ),
            warning(
                "filter-of-other-event",
                "a filter that does not belong to the event of its publish",
                "everything is sent",
                "move it to the publish of the other event",
            ),
            note(
                "more",
                "there are more findings than are kept",
                "nothing",
                "mend these first",
            ),
            error(
                "missing-option",
                "a section lacks an option without which it is nothing",
                NO_OBJECT,
                "add the option",
            ),
            error(
                "missing-type",
                "a section has no `type`",
                NO_OBJECT,
                "add `type=`",
            ),
            warning(
                "repeated-option",
                "an option stands twice in a section",
                "the last one counts",
                "remove the other",
            ),
            note(
                "section-skipped",
                "a section that does not concern the exchange is passed over",
                "nothing",
                "nothing",
            ),
            note(
                "types-skipped",
                "sections of types that do not concern the exchange are passed over",
                "nothing",
                "nothing",
            ),
            warning(
                "unknown-extended-option",
                "an option that begins with `@` and is none of ours on this type",
                "Asterisk keeps and ignores it, and so do we: what it asks for does not happen",
                "correct the name; filters of receiving have no `@`, those of sending have one",
            ),
            error(
                "unknown-option",
                "the type has no such option",
                REFUSED,
                "correct the name, or move it to the type that has it",
            ),
            error(
                "unknown-type",
                "there is no such type",
                NO_OBJECT,
                "correct it; types are written in lower case",
            ),
        ],
    },
    Group {
        name: "Values",
        codes: &[
            error(
                "auth-algorithm",
                "an algorithm is asked for of which the section has no digest",
                "Asterisk refuses the section; challenges of this algorithm could not be answered",
                "add the digest, or give the password",
            ),
            warning(
                "auth-password",
                "credentials without a password",
                "an empty password protects nothing",
                "set `password`",
            ),
            error(
                "auth-secret",
                "credentials without what their type needs",
                "Asterisk refuses the section; no challenge can be answered",
                "set what the message names",
            ),
            warning(
                "auth-username",
                "credentials without a user name",
                "no peer can have them right",
                "set `username`",
            ),
            error(
                "bad-digest",
                "a digest is none of its algorithm",
                "Asterisk refuses the section; no challenge can be answered",
                "reckon it over username:realm:password",
            ),
            error(
                "bad-filter",
                "a filter does not compile",
                REFUSED,
                "write a POSIX extended regular expression",
            ),
            error(
                "bad-network",
                "neither an address nor a network",
                REFUSED,
                "write an address, with its prefix or mask for a network",
            ),
            error(
                "bad-token",
                "the token of HTTP cannot be used",
                "Lampwire does not start",
                "give a token of visible ASCII characters",
            ),
            error(
                "bad-uri",
                "a URI that nothing can be sent to",
                "Asterisk refuses the section or sends nothing",
                "write `sip:RESOURCE@HOST`, without brackets",
            ),
            error(
                "bad-value",
                "a value that the option does not take",
                REFUSED,
                "give one that it takes",
            ),
            warning(
                "comment-in-secret",
                "a secret is cut at its `;`",
                "credentials do not match: 401 after 401, until the sender gives up",
                "write `\\;`",
            ),
            warning(
                "comment-in-uri",
                "a URI is cut at its `;`",
                "a parameter such as transport=tcp is not there, so that it goes by UDP",
                "write `\\;`",
            ),
            error(
                "http-open",
                "HTTP is open to others, without a token",
                "anybody could set states; Lampwire does not start",
                "set http_token, or bind a loopback address",
            ),
            warning(
                "match-port",
                "the port of a source is not compared",
                "all ports of the address match",
                "leave the port out",
            ),
            error(
                "timer-b",
                "timer_b is below 64 times timer_t1",
                "requests would be given up before they are repeated as RFC 3261 wants",
                "raise timer_b",
            ),
            warning(
                "short-expiration",
                "publications live for less than a minute",
                "Asterisk refreshes in the very moment of expiry, so each one is a race, and below Lampwire's `expires_min` the answer is 423",
                "leave `expiration` at 3600",
            ),
            warning(
                "filter-glob",
                "a filter is written like a file pattern",
                "`*` repeats the character before it, so that the filter passes more than it looks, all devices of the technology mostly",
                "leave the `*` out: a filter need not match the end",
            ),
            warning(
                "swapped-uris",
                "from_uri or to_uri is set",
                "Asterisk swaps the two: From carries to_uri and To carries from_uri, so that the peer looks for another endpoint than it seems",
                "set both to the same, or leave both out; for Lampwire, `@from_uri` and `@to_uri` mean what they say",
            ),
            warning(
                "unanchored-filter",
                "a filter looks like the start of a name, and is not anchored",
                "names that have it anywhere pass too: `SIP/1` is found in PJSIP/1000, `100` in 21001@default",
                "begin it with `^`",
            ),
            warning(
                "uri-without-user",
                "a server_uri names no resource",
                "the peer answers 404 to everything",
                "write `sip:RESOURCE@HOST`, RESOURCE being the peer's inbound-publication",
            ),
        ],
    },
    Group {
        name: "What holds between sections",
        codes: &[
            error(
                "acl-cycle",
                "rules of an acl lead back to it",
                "Asterisk does not load the acl; Lampwire does not start",
                "remove one of the references",
            ),
            error(
                "ami-and-publish",
                "an Asterisk is read by its manager interface, and is told states by a publish as well",
                "the manager interface shows sums only: what the publish tells it would come back as its own",
                "remove the section of type=ami, or the publish",
            ),
            error(
                "ami-echo",
                "a section of type=ami with `sink` would read the devices that it writes",
                "its own words would come back as the Asterisk's",
                "give it a `device_state_filter` that lets no name with the prefix through, as in `^PJSIP/`",
            ),
            error(
                "ami-mailbox",
                "a mailbox of `mailboxes` does not pass `mailbox_state_filter`",
                "it would be asked for and never told",
                "remove it from the list, or widen the filter",
            ),
            warning(
                "ami-no-mailbox",
                "a section of type=ami with `sink` reads all mailboxes",
                "others' mailboxes are not put into that Asterisk",
                "set `mailbox_state_filter` to those that are its own",
            ),
            warning(
                "ami-not-tls",
                "`ca_list_file` stands beside `tls=no`",
                "the connection is not encrypted, and no certificate is looked at",
                "set `tls=yes`",
            ),
            error(
                "ami-twice",
                "two sections of type=ami are for one Asterisk",
                "each would read what the other puts in",
                "make one of the two",
            ),
            warning(
                "api-client-open",
                "there are clients of the API, and no `http_token`",
                "whoever sends no token may do everything",
                "set `http_token`",
            ),
            warning(
                "cluster-even-replicas",
                "the bucket of a cluster is kept by an even number of servers",
                "more than half of them must be there for it to take anything: of two both, of four three",
                "set `replicas` to 1, 3 or 5",
            ),
            warning(
                "cluster-no-tls",
                "a section of type=cluster names a server on another machine, without TLS",
                "states and credentials may go over the wire as they are; a server that insists on TLS gets it all the same",
                "set `tls=yes`, or write tls:// before the server",
            ),
            warning(
                "cluster-open",
                "a section of type=cluster has no credentials, and its server is on another machine",
                "whoever reaches the NATS servers may say anything of any lamp",
                "give each node a user of its own at the NATS servers",
            ),
            error(
                "cluster-without-relay",
                "a section of type=cluster stands beside `relay=no`",
                "a cluster is one hub: what its nodes share goes on to their peers",
                "set `relay=yes`",
            ),
            error(
                "dangling-reference",
                "a section is named that is not there, or is of another type",
                "Asterisk refuses the section or ignores what is named; an asterisk-publication that is not there is answered 404",
                "correct the name, or add the section",
            ),
            error(
                "duplicate-bind",
                "two transports want the same address",
                "the second one does not come up",
                "give each its own port",
            ),
            warning(
                "duplicate-publish",
                "two publishes send the same states to the same resource",
                "every state is sent twice, and two publications contend at the peer",
                "remove one, or give them filters that divide the names",
            ),
            warning(
                "endpoint-never",
                "an endpoint that may be recognised by its address alone, which no identify section has",
                "its peer is never recognised: 401, or 403 from a Lampwire",
                "add a section of type=identify with `endpoint` and `match`, or `username` to identify_by",
            ),
            warning(
                "event-of-publish",
                "a peer is asked over a publish of another event",
                "the refresh is answered 489 or 400, and its states come only as they change",
                "name the publish of the same event",
            ),
            warning(
                "identify-never",
                "an identify section that is never looked at",
                "it identifies nobody: 401, or 403 from a Lampwire",
                "add the way to endpoint_identifier_order or identify_by",
            ),
            error(
                "identify-nothing",
                "an identify section has nothing to match",
                "it identifies nobody",
                "add `match`, `match_header` or `match_request_uri`",
            ),
            warning(
                "never-asked",
                "states are taken from a peer that is never asked for all it has",
                "after a restart or a broken connection, states of the peer are missing until each changes",
                "name the publish that leads to the peer in devicestate_publish or mailboxstate_publish",
            ),
            note(
                "lives-by-expiry",
                "nothing asks whether a peer is there",
                "when it dies its lamps stay lit until what it publishes runs out, an hour or so, and `hold_time` after that",
                "name a publish that leads to the peer in devicestate_publish or mailboxstate_publish, with `@probe` or `@qualify_frequency` above 0",
            ),
            warning(
                "no-authentication",
                "states are taken from whoever bears the right name",
                "anybody who can send a packet can light any lamp",
                "name an auth section in the endpoint's `auth`, or recognise it by its address alone (identify_by=ip)",
            ),
            warning(
                "no-endpoint",
                "a resource and no endpoint at all",
                "every PUBLISH is answered 401",
                "add a section of type=endpoint",
            ),
            warning(
                "no-such-transport",
                "a publish goes by a protocol of which there is no transport",
                "Asterisk cannot send it, and drops every state; Lampwire opens connections from any address",
                "add a transport of the protocol, or change the URI",
            ),
            warning(
                "no-transport",
                "no transport is left that Lampwire speaks",
                "it listens on UDP port 5060 of all addresses",
                "add one of protocol udp, tcp or tls",
            ),
            warning(
                "open-publication",
                "a resource is open to every endpoint of the file",
                "any of them, each telephone with its own password too, can publish states of any device",
                "name the peer's endpoint in `endpoint`",
            ),
            warning(
                "outbound-auth-elsewhere",
                "the endpoint of a peer has outbound_auth, and no publish has",
                "that of the endpoint is for calls: a challenge of the peer's is not answered, and an Asterisk sends nothing more over that publish until it is restarted",
                "set `outbound_auth` in the outbound-publish",
            ),
            error(
                "own-entity-id",
                "a peer has our own entity id",
                "its states would count as ours",
                "give each node its own",
            ),
            warning(
                "publish-to-self",
                "a publish leads to a transport of the same file",
                "the node tells itself what it knows: an Asterisk publishes it again",
                "write the peer's address into server_uri",
            ),
            error(
                "same-entity-id",
                "two nodes have one entity id",
                "each would overwrite the other's states",
                "give each its own",
            ),
            error(
                "same-token",
                "two have one token",
                "nobody could tell the two apart",
                "make another",
            ),
            warning(
                "shared-address",
                "two endpoints are recognised by the same address",
                "the first one gets the requests of both: its credentials are asked for, and the other's resource answers 403",
                "tell them apart by the user in From: identify_by=username",
            ),
            error(
                "skipped-reference",
                "a section is named that is passed over",
                "what names it cannot work",
                "name another",
            ),
            warning(
                "states-not-taken",
                "a resource hands an event to a peer's section that does not take it",
                "the sender hears 200, and each state is dropped",
                "set device_state or mailbox_state to yes, or remove the event",
            ),
            warning(
                "takes-nothing",
                "a resource takes no event",
                "every PUBLISH to it is answered 489 or 404",
                "add `event_asterisk-devicestate=` or `event_asterisk-mwi=`",
            ),
            warning(
                "transport-mismatch",
                "a publish names a transport of another protocol than its URI does",
                "Asterisk goes by the transport, and the peer may not listen there",
                "let the two agree",
            ),
            warning(
                "unknown-event",
                "an event that is not known",
                "Asterisk publishes nothing over it",
                "write asterisk-devicestate or asterisk-mwi",
            ),
            warning(
                "unused-publication",
                "a peer's section that no resource hands events to",
                "nothing is ever taken from this peer: its PUBLISH is answered 404",
                "name it in an inbound-publication's event_asterisk-devicestate or event_asterisk-mwi",
            ),
            warning(
                "unverified-tls",
                "a publish goes by TLS and the peer's certificate is not checked",
                "anybody on the way can read and change states, and take the credentials' answers",
                "set verify_server=yes and ca_list_file",
            ),
            note(
                "rewrite-overlap",
                "a rewrite makes names that the peer (this node, with direction=out) may have itself, and that are left as they are",
                "two things would have one name, and the lamp shows whichever spoke last",
                "add a line that moves those away, or a wider pattern",
            ),
            warning(
                "rewrite-collision",
                "two names or states of a peer become one, by one rewrite or by several of the same peer",
                "they overwrite each other here, and there is no way back: the peer hears a state of its own for one that it never had",
                "give each a name of its own, or rewrite in one direction only",
            ),
            warning(
                "rewrite-empty",
                "a rewrite has no line of device, mailbox or state",
                "nothing is rewritten",
                "add what is to be rewritten, or remove the section",
            ),
            error(
                "rewrite-peer",
                "a rewrite does not say whose names it is about",
                "Lampwire does not start",
                "name the asterisk-publication or the ami section in `peer`",
            ),
            warning(
                "rewrite-unreachable",
                "a line of a rewrite is behind one that takes everything it would take",
                "it is never used",
                "put the narrower one first",
            ),
        ],
    },
    Group {
        name: RELATIONS,
        codes: &[
            note(
                "address-inferred",
                "where an instance is, is not said anywhere",
                "nothing; if it is wrong, so is what follows from it",
                "bind a transport to the address, or say it by ADDRESS=FILE",
            ),
            error(
                "ami-and-exchange",
                "an Asterisk that is read by its manager interface takes part by its own exchange as well",
                "Lampwire refuses to read it where `res_pjsip_publish_asterisk.so` is loaded: others' states would come back as its own",
                "remove the section of type=ami and make it a peer, or remove the exchange from its pjsip.conf and noload the module",
            ),
            error(
                "ami-no-tls",
                "a section of type=ami asks for TLS, and the Asterisk's manager.conf has none",
                "nobody listens there: the Asterisk is not read, and tried again for ever",
                "set `tlsenable=yes` and `tlscertfile` in its `[general]`, or `tls=no`",
            ),
            error(
                "ami-no-user",
                "the Asterisk's manager.conf has no user of that name",
                "the login is refused, and the Asterisk is not read",
                "let `username` be the name of a section there",
            ),
            error(
                "ami-not-enabled",
                "the Asterisk's manager interface is not enabled",
                "the connection is refused, by TLS too: the Asterisk is not read",
                "set `enabled=yes` in `[general]` of its manager.conf",
            ),
            error(
                "ami-not-listening",
                "the Asterisk's manager interface listens at another port or address",
                "the connection is refused, and the Asterisk is not read",
                "let `host` and `port` be those of its manager.conf; a port behind `bindaddr` counts for nothing there",
            ),
            error(
                "ami-right-missing",
                "the user in the Asterisk's manager.conf lacks a right that is needed",
                "what the right is for is not done: without `read=system`, `write=call`, or `write=command` where `eid` is not set, the Asterisk is not read at all",
                "add the right; the words are written in small letters, with commas and no blanks between them",
            ),
            error(
                "ami-secret-differs",
                "the secret is not that of the user in the Asterisk's manager.conf",
                "the login is refused, and the Asterisk is not read",
                "let both be the same",
            ),
            error(
                "ami-source-refused",
                "rules of the user in the Asterisk's manager.conf keep our address out",
                "the login is refused, and the Asterisk is not read",
                "permit the address behind the lines that deny it",
            ),
            warning(
                "cluster-bucket-differs",
                "two nodes of one site want their bucket otherwise",
                "it is as the first of them made it, and each other one says in its log what is not as it wants it",
                "let all nodes of a site have the same `replicas`, `storage` and `max_bytes`",
            ),
            warning(
                "cluster-domain-differs",
                "two nodes of one site name different JetStream domains",
                "each keeps a bucket of its own there, and others read only one of the two",
                "let all nodes of a site have the same `domain`",
            ),
            warning(
                "cluster-node-twice",
                "two nodes of a cluster have the same name",
                "nothing: they are told apart by their entity ids; whoever reads listings and logs cannot",
                "give each its own `node`",
            ),
            warning(
                "cluster-wide-differs",
                "a server is attached to two nodes of a site that tell other sites different states",
                "what other sites hear of it changes with the node that is its home",
                "let all nodes of a site have the same `wide_device_state_filter` and `wide_mailbox_state_filter`",
            ),
            warning(
                "cluster-without-domain",
                "one site of a cluster has no JetStream domain, and another has one",
                "whoever is in a domain looks for the bucket of that site at its own servers, and does not find it",
                "give each site a `domain`, the one that stands in its servers' configuration",
            ),
            error(
                "credentials-differ",
                "the credentials of the sender are not those that the receiver asks for",
                "401 after 401: after five of them an Asterisk removes the publish, and sends nothing more until it is restarted",
                "give both auth sections the same username and password",
            ),
            warning(
                "entity-id-differs",
                "an endpoint is told to have another entity id than its instance has",
                "a Lampwire warns, and goes by what the peer tells of itself; until it has told it, its states pass for those of somebody behind it, and stay when it is lost",
                "correct `@entity_id`, or leave it out: it is learned",
            ),
            error(
                "entity-id-refused",
                "the receiver does not let the endpoint speak for the sender's entity id",
                "every state is answered 403",
                "add the entity id to `@allowed_eids`",
            ),
            note(
                "entity-id-unset",
                "asterisk.conf tells no entity id",
                "it is taken from a network card: cloned machines have the same, and a container another one after each start",
                "set `entityid` in `[options]`",
            ),
            error(
                "equal-entity-ids",
                "two instances have the same entity id",
                "each takes the other's states for its own: an Asterisk publishes them again as an echo, a Lampwire drops them",
                "give each its own",
            ),
            error(
                "event-not-taken",
                "the resource does not take the event that is published to it",
                "every PUBLISH is answered 404 (489 where the event is unknown), and each state is lost",
                "name the peer's section in `event_asterisk-devicestate` or `event_asterisk-mwi`",
            ),
            warning(
                "filter-drops",
                "the receiver drops a part of what the sender's filter lets pass",
                "the sender hears 200, and the states are missing",
                "let the two filters be the same",
            ),
            note(
                "filtered-at-peer",
                "the receiver drops a part of what is sent",
                "states go over the wire to be dropped",
                "give the sender the same filter",
            ),
            warning(
                "filters-disjoint",
                "nothing that the sender's filter lets pass is taken by the receiver's",
                "the sender hears 200, and nothing arrives",
                "let the two filters be the same",
            ),
            warning(
                "hubs-apart",
                "two hubs do not exchange with each other",
                "what the peers of one publish does not reach the peers of the other",
                "let the hubs publish to each other",
            ),
            error(
                "no-common-algorithm",
                "the sender answers by none of the algorithms that the receiver challenges with",
                "the 401 cannot be answered: an Asterisk sends nothing more over the publish until it is restarted",
                "give supported_algorithms_uas and supported_algorithms_uac one in common; MD5 is the default of both",
            ),
            error(
                "no-such-resource",
                "the receiver does not have the resource that is published to",
                "every PUBLISH is answered 404, and each state is lost",
                "let the user part of server_uri be the name of the receiver's inbound-publication",
            ),
            note(
                "not-compared",
                "an instance with errors is left out of the comparison",
                "it does not start",
                "mend its errors",
            ),
            error(
                "not-listening",
                "the receiver does not listen at that port by that protocol",
                "no answer: an Asterisk drops each state after 32 s, a Lampwire goes on trying",
                "let server_uri name the port and transport of the receiver",
            ),
            error(
                "not-recognised",
                "the receiver finds no endpoint for the sender",
                "401, which cannot be answered (403 from a Lampwire that knows the address): an Asterisk sends nothing more over the publish until it is restarted",
                "name an endpoint as the user in the sender's From, or match its address by a section of type=identify",
            ),
            warning(
                "not-relayed",
                "an instance between two others passes nothing on",
                "the two never hear of each other's states",
                "let it be a Lampwire with relay=yes, or let the two publish to each other",
            ),
            warning(
                "one-way",
                "states go one way alone",
                "lamps of the sender never show the receiver's states; if that is meant, all is well",
                "add an outbound-publish on the other side",
            ),
            error(
                "realm-differs",
                "the sender's credentials are for another realm than the receiver challenges in",
                "the 401 cannot be answered: an Asterisk sends nothing more over the publish until it is restarted",
                "leave `realm` out of the section that answers, or let both be the same",
            ),
            warning(
                "realtime-loses-options",
                "publishes come from a database",
                "filters of sending are lost, since the tables have no columns that begin with `@`: everything is sent",
                "read outbound-publish from the file",
            ),
            warning(
                "refresh-elsewhere",
                "a peer is asked for all its states over a publish that leads to somebody else",
                "somebody else answers the refresh, and after a restart this peer's states are missing until each changes",
                "name the publish that leads to the peer",
            ),
            error(
                "relayed-ids-refused",
                "a hub's endpoint may not speak for an instance whose states it relays",
                "those states are answered 403",
                "add its entity id to `@allowed_eids`",
            ),
            error(
                "resource-of-another",
                "the sender is taken for another endpoint than the one whose resource it publishes to",
                "403 to each new publication, and each state is lost",
                "let the resource's `endpoint` be the one that is recognised",
            ),
            warning(
                "shared-endpoint",
                "several instances are taken for the same endpoint",
                "they cannot be told apart: one's credentials and rules serve all, and a Lampwire takes the second for the first with another entity id: what the first said is taken back when the second has told all",
                "give each an endpoint of its own",
            ),
            error(
                "silenced-by-401",
                "the receiver challenges, and the sender's publish has no credentials",
                "the 401 cannot be answered: an Asterisk sends nothing more over the publish until it is restarted, and no reload helps",
                "set `outbound_auth` in the outbound-publish",
            ),
            error(
                "source-refused",
                "rules of addresses keep the sender out",
                "every request is answered 403",
                "permit the address",
            ),
            warning(
                "unknown-destination",
                "a publish or a section of type=ami leads to none of the instances given",
                "if none is there, each request times out",
                "correct server_uri or host, give that instance's file too, or say where it is by ADDRESS=FILE",
            ),
            note(
                "unknown-source",
                "the receiver recognises by address, and the sender's is not known",
                "nothing; whether it is recognised cannot be said",
                "bind a transport to the address, or say it by ADDRESS=FILE",
            ),
        ],
    },
];
