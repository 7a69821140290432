//! Small wrong configurations with their exact diagnostics (a snapshot), each with its near-miss twin that is right.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use lampwire_conf::{Diagnostic, MapSource, Severity, load};

/// What most cases need beside their subject: a peer that is complete, and asks for a password.
const PEER: &str =
    "[peer]\ntype=endpoint\nauth=peer\n[peer]\ntype=auth\nusername=peer\npassword=secret\n";

/// Name, wrong, right. `PEER` stands behind each.
const CASES: &[(&str, &str, &str)] = &[
    // the grammar
    ("no closing bracket", "[a\ntype=acl\n", "[a]\ntype=acl\n"),
    (
        "no closing parenthesis",
        "[t](!)\n[a](t\ntype=acl\n",
        "[t](!)\n[a](t)\ntype=acl\n",
    ),
    ("no name of a section", "[]\ntype=acl\n", "[a]\ntype=acl\n"),
    (
        "unknown template",
        "[tmpl](!)\ntype=acl\n[a](tpml)\n",
        "[tmpl](!)\ntype=acl\n[a](tmpl)\n",
    ),
    (
        "template stands later",
        "[a](tmpl)\n[tmpl](!)\ntype=acl\n",
        "[tmpl](!)\ntype=acl\n[a](tmpl)\n",
    ),
    (
        "blank before the templates",
        "[t](!)\npermit=::/0\n[a] (t)\ntype=acl\n",
        "[t](!)\npermit=::/0\n[a](t)\ntype=acl\n",
    ),
    (
        "adds to nothing",
        "[alpha]\ntype=acl\n[alpah](+)\npermit=::/0\n",
        "[alpha]\ntype=acl\n[alpha](+)\npermit=::/0\n",
    ),
    (
        "adds to none of the type",
        "[a]\ntype=acl\n[a](+type=auth)\n",
        "[a]\ntype=acl\n[a](+type=acl)\n",
    ),
    (
        "filter without equals",
        "[a]\ntype=acl\n[a](+acl)\n",
        "[a]\ntype=acl\n[a](+type=acl)\n",
    ),
    (
        "adds to a template",
        "[a](!)\ntype=acl\n[a](+)\npermit=::/0\n",
        "[a](!)\ntype=acl\npermit=::/0\n",
    ),
    (
        "before the first section",
        "type=acl\n[a]\ntype=acl\n",
        "; type=acl\n[a]\ntype=acl\n",
    ),
    (
        "no equals sign",
        "[a]\ntype=acl\npermit 10.0.0.0/8\n",
        "[a]\ntype=acl\npermit = 10.0.0.0/8\n",
    ),
    (
        "no name",
        "[a]\ntype=acl\n= 10.0.0.0/8\n",
        "[a]\ntype=acl\npermit => 10.0.0.0/8\n",
    ),
    (
        "block comment without end",
        "[a]\ntype=acl\n  ;-- what\n  permit\n",
        "[a]\ntype=acl\n  ;-- what\n  permit --;\n",
    ),
    (
        "end of no block comment",
        "[a]\ntype=acl --;\n",
        "[a]\n;-- x --;type=acl\n",
    ),
    (
        "unknown directive",
        "#inlcude x.conf\n",
        "#tryinclude x.conf\n",
    ),
    (
        "comment of another language",
        "# a comment\n",
        "; a comment\n",
    ),
    (
        "missing include",
        "#include \"x.conf\"\n",
        "#tryinclude \"x.conf\"\n",
    ),
    (
        "include without a name",
        "#include\n",
        "#include <other.conf>\n",
    ),
    (
        "include of nothing",
        "#include d/*.conf\n",
        "#tryinclude d/*.conf\n",
    ),
    (
        "include of itself",
        "#include main.conf\n",
        "#include other.conf\n",
    ),
    ("exec", "#exec /bin/date\n", ";#exec /bin/date\n"),
    (
        "NUL",
        "[a]\ntype=acl\nper\0mit=::/0\n",
        "[a]\ntype=acl\npermit=::/0\n",
    ),
    // types and options
    (
        "no type",
        "[a]\npermit=::/0\n",
        "[a]\ntype=acl\npermit=::/0\n",
    ),
    (
        "no type, telling name",
        "[global]\nuser_agent=x\n",
        "[global]\ntype=global\nuser_agent=x\n",
    ),
    (
        "unknown type",
        "[a]\ntype=outbound-publication\n",
        "[a]\ntype=registration\n",
    ),
    ("type in capitals", "[a]\ntype=ACL\n", "[a]\nTYPE=acl\n"),
    ("quite unknown type", "[a]\ntype=queue\n", "[a]\ntype=aor\n"),
    (
        "unknown option",
        "[a]\ntype=acl\npermitt=::/0\n",
        "[a]\ntype=acl\nPermit=::/0\n",
    ),
    (
        "quite unknown option",
        "[a]\ntype=endpoint\nfoo_bar_baz=1\n",
        "[a]\ntype=endpoint\ndtmf_mode=info\n",
    ),
    (
        "filter of receiving on sending",
        "[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-devicestate\ndevice_state_filter=^1\n",
        "[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-devicestate\n@device_state_filter=^1\n",
    ),
    (
        "filter of sending on receiving",
        "[a]\ntype=asterisk-publication\ndevice_state=yes\n@device_state_filter=^1\n",
        "[a]\ntype=asterisk-publication\ndevice_state=yes\ndevice_state_filter=^1\n",
    ),
    (
        "option of another type",
        "[a]\ntype=endpoint\nserver_uri=sip:a@b\n",
        "[a]\ntype=endpoint\noutbound_proxy=sip:a@b\n",
    ),
    (
        "without its @",
        "[a]\ntype=endpoint\nentity_id=02:00:00:00:00:01\n",
        "[a]\ntype=endpoint\n@entity_id=02:00:00:00:00:01\n",
    ),
    (
        "with an @ too many",
        "[a]\ntype=endpoint\n@transport=x\n",
        "[a]\ntype=endpoint\ntransport=\n",
    ),
    (
        "typo behind the @",
        "[a]\ntype=endpoint\n@entity_di=02:00:00:00:00:01\n",
        "[a]\ntype=endpoint\n@entity_id=02:00:00:00:00:01\n",
    ),
    (
        "somebody else's @",
        "[a]\ntype=endpoint\n@customer_number=7\n",
        "[a]\ntype=endpoint\n;@customer_number=7\n",
    ),
    (
        "the same option twice",
        "[a]\ntype=endpoint\ncontext=a\nidentify_by=ip\nidentify_by=username\n",
        "[t](!)\nidentify_by=ip\n[a](t)\ntype=endpoint\nidentify_by=username\n",
    ),
    (
        "the same section twice",
        "[a]\ntype=acl\n[b]\ntype=acl\n[a]\ntype=acl\n",
        "[a]\ntype=acl\n[b]\ntype=acl\n[a]\ntype=endpoint\n",
    ),
    (
        "two global sections",
        "[g]\ntype=global\n[h]\ntype=global\n",
        "[g]\ntype=global\n[g](+)\ndebug=yes\n",
    ),
    (
        "not UTF-8 shows",
        "[a]\ntype=endpoint\nfrom_domain=\u{fffd}\u{fffd}\nfrom_domian=x\n",
        "[a]\ntype=endpoint\nfrom_domain=x\n",
    ),
    // values
    (
        "no boolean",
        "[g]\ntype=global\nignore_uri_user_options=maybe\n",
        "[g]\ntype=global\nignore_uri_user_options=ON\n",
    ),
    (
        "no number",
        "[g]\ntype=global\nmax_forwards=7x\n",
        "[g]\ntype=global\nmax_forwards=7\n",
    ),
    (
        "number too high",
        "[g]\ntype=global\nmax_forwards=256\n",
        "[g]\ntype=global\nmax_forwards=255\n",
    ),
    (
        "number too long",
        "[g]\ntype=global\nmax_forwards=99999999999999999999999\n",
        "[g]\ntype=global\nmax_forwards=007\n",
    ),
    (
        "empty number",
        "[g]\ntype=global\nkeep_alive_interval=\n",
        "[g]\ntype=global\nkeep_alive_interval=0\n",
    ),
    (
        "unknown way",
        "[g]\ntype=global\nendpoint_identifier_order=ip,usrename\n",
        "[g]\ntype=global\nendpoint_identifier_order=ip, username\n",
    ),
    (
        "unknown algorithm",
        "[g]\ntype=global\ndefault_auth_algorithms_uas=SHA256\n",
        "[g]\ntype=global\ndefault_auth_algorithms_uas=sha-256,MD5\n",
    ),
    (
        "timer_b too short",
        "[s]\ntype=system\ntimer_t1=1000\n",
        "[s]\ntype=system\ntimer_t1=1000\ntimer_b=64000\n",
    ),
    // transports
    (
        "no bind",
        "[t]\ntype=transport\nprotocol=udp\n",
        "[t]\ntype=transport\nbind=0.0.0.0\n",
    ),
    (
        "bind to a name",
        "[t]\ntype=transport\nbind=pbx.example.org\n",
        "[t]\ntype=transport\nbind=[2001:db8::1]:5070\n",
    ),
    (
        "port too high",
        "[t]\ntype=transport\nbind=0.0.0.0:65536\n",
        "[t]\ntype=transport\nbind=0.0.0.0:65535\n",
    ),
    (
        "unknown protocol",
        "[t]\ntype=transport\nbind=::\nprotocol=utp\n",
        "[t]\ntype=transport\nbind=::\nprotocol=TCP\n",
    ),
    (
        "WebSockets alone",
        "[t]\ntype=transport\nbind=::\nprotocol=wss\n",
        "[t]\ntype=transport\nbind=::\nprotocol=wss\n[u]\ntype=transport\nbind=::\n",
    ),
    (
        "two on one port",
        "[t]\ntype=transport\nbind=0.0.0.0\n[u]\ntype=transport\nbind=0.0.0.0:5060\n",
        "[t]\ntype=transport\nbind=0.0.0.0\n[u]\ntype=transport\nbind=0.0.0.0:5060\nprotocol=tcp\n",
    ),
    (
        "no network",
        "[t]\ntype=transport\nbind=::\nlocal_net=10.0.0.0/8,10.0.0.0/99\n",
        "[t]\ntype=transport\nbind=::\nlocal_net=10.0.0.0/8,10.0.0.0/255.0.0.0\n",
    ),
    (
        "no service",
        "[t]\ntype=transport\nbind=::\ntos=af44\ncos=9\n",
        "[t]\ntype=transport\nbind=::\ntos=af43\ncos=7\n",
    ),
    (
        "port with the address",
        "[t]\ntype=transport\nbind=::\nexternal_signaling_address=a.example:5060\n",
        "[t]\ntype=transport\nbind=::\nexternal_signaling_address=a.example\nexternal_signaling_port=5060\n",
    ),
    (
        "old TLS",
        "[t]\ntype=transport\nbind=::\nmethod=sslv3\n",
        "[t]\ntype=transport\nbind=::\nmethod=tlsv1_2\n",
    ),
    // endpoints
    (
        "auth that is not there",
        "[a]\ntype=endpoint\nauth=peer,pear\n",
        "[a]\ntype=endpoint\nauth=peer\n",
    ),
    (
        "auth of another type",
        "[a]\ntype=endpoint\nauth=b\n[b]\ntype=acl\n",
        "[a]\ntype=endpoint\nauth=b\n[b]\ntype=auth\nusername=b\npassword=b\n",
    ),
    (
        "acl that is not there",
        "[a]\ntype=endpoint\nacl=office\n",
        "[a]\ntype=endpoint\nacl=office\n[office]\ntype=acl\n",
    ),
    (
        "transport that is not there",
        "[a]\ntype=endpoint\ntransport=upd\n[udp]\ntype=transport\nbind=::\n",
        "[a]\ntype=endpoint\ntransport=udp\n[udp]\ntype=transport\nbind=::\n",
    ),
    (
        "no rule",
        "[a]\ntype=endpoint\ndeny=all\n",
        "[a]\ntype=endpoint\ndeny=0.0.0.0/0\npermit=!10.0.0.1\n",
    ),
    (
        "no entity id",
        "[a]\ntype=endpoint\n@entity_id=02:00:00:00:00\n",
        "[a]\ntype=endpoint\n@entity_id=02:00:00:00:00:0a\n",
    ),
    (
        "no entity ids",
        "[a]\ntype=endpoint\n@allowed_eids=02:00,02:*\n",
        "[a]\ntype=endpoint\n@allowed_eids=02:00:*,03:*\n",
    ),
    (
        "no certificate's name",
        "[a]\ntype=endpoint\n@identify_by_certificate=pbx.example\n",
        "[a]\ntype=endpoint\n@identify_by_certificate=san:pbx.example\n",
    ),
    (
        "proxy without a scheme",
        "[a]\ntype=endpoint\noutbound_proxy=proxy.example\n",
        "[a]\ntype=endpoint\noutbound_proxy=sip:proxy.example\\;lr\n",
    ),
    (
        "our own entity id",
        "[l]\ntype=lampwire\nentity_id=02:00:00:00:00:01\n[a]\ntype=endpoint\n@entity_id=02:00:00:00:00:01\n",
        "[l]\ntype=lampwire\nentity_id=02:00:00:00:00:01\n[a]\ntype=endpoint\n@entity_id=02:00:00:00:00:02\n",
    ),
    // credentials
    (
        "no user name",
        "[a]\ntype=auth\npassword=x\n",
        "[a]\ntype=auth\nusername=x\npassword=x\n",
    ),
    (
        "no password",
        "[a]\ntype=auth\nusername=x\n",
        "[a]\ntype=auth\nusername=x\npassword=x\n",
    ),
    (
        "no md5_cred",
        "[a]\ntype=auth\nusername=x\nauth_type=md5\npassword=x\n",
        "[a]\ntype=auth\nusername=x\nauth_type=md5\nmd5_cred=0123456789abcdef0123456789abcdef\n",
    ),
    (
        "short md5_cred",
        "[a]\ntype=auth\nusername=x\nauth_type=md5\nmd5_cred=0123\n",
        "[a]\ntype=auth\nusername=x\nauth_type=MD5\nmd5_cred=0123456789ABCDEF0123456789ABCDEF\n",
    ),
    (
        "no digest",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\n",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\npassword=x\n",
    ),
    (
        "digest of another length",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\npassword_digest=SHA-256:0123456789abcdef0123456789abcdef\n",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\npassword_digest=md5:0123456789abcdef0123456789abcdef\n",
    ),
    (
        "digest of no algorithm",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\npassword_digest=SHA1:0123456789abcdef0123456789abcdef,00\n",
        "[a]\ntype=auth\nusername=x\nauth_type=digest\npassword_digest=MD5:0123456789abcdef0123456789abcdef\n",
    ),
    (
        "algorithm without a digest",
        "[a]\ntype=auth\nusername=x\nauth_type=md5\nmd5_cred=0123456789abcdef0123456789abcdef\nsupported_algorithms_uas=MD5,SHA-256\n",
        "[a]\ntype=auth\nusername=x\nauth_type=md5\nmd5_cred=0123456789abcdef0123456789abcdef\nsupported_algorithms_uas=MD5\n",
    ),
    (
        "unknown auth_type",
        "[a]\ntype=auth\nusername=x\nauth_type=userpasswd\npassword=x\n",
        "[a]\ntype=auth\nusername=x\nauth_type=UserPass\npassword=x\n",
    ),
    (
        "OAuth that challenges",
        "[a]\ntype=auth\nauth_type=google_oauth\nrefresh_token=x\n[b]\ntype=endpoint\nauth=a\n",
        "[a]\ntype=auth\nauth_type=google_oauth\nrefresh_token=x\n[b]\ntype=endpoint\noutbound_auth=a\n",
    ),
    (
        "semicolon in a password",
        "[a]\ntype=auth\nusername=x\npassword=a;b\n",
        "[a]\ntype=auth\nusername=x\npassword=a\\;b ;c\n",
    ),
    // identify
    (
        "identify of nobody",
        "[i]\ntype=identify\nmatch=10.0.0.1\n",
        "[i]\ntype=identify\nendpoint=peer\nmatch=10.0.0.1\n",
    ),
    (
        "identify by nothing",
        "[i]\ntype=identify\nendpoint=peer\n",
        "[i]\ntype=identify\nendpoint=peer\nmatch=pbx.example\n",
    ),
    (
        "no source",
        "[i]\ntype=identify\nendpoint=peer\nmatch=10.0.0.1,10.0.0,a b\n",
        "[i]\ntype=identify\nendpoint=peer\nmatch=10.0.0.1,!10.0.0.0/24,a.b\n",
    ),
    (
        "port of the source",
        "[i]\ntype=identify\nendpoint=peer\nmatch=10.0.0.1:5061\n",
        "[i]\ntype=identify\nendpoint=peer\nmatch=[2001:db8::1]\n",
    ),
    (
        "header without a colon",
        "[g]\ntype=global\nendpoint_identifier_order=header\n[i]\ntype=identify\nendpoint=e\nmatch_header=X-Peer\n[e]\ntype=endpoint\nidentify_by=header\n",
        "[g]\ntype=global\nendpoint_identifier_order=header\n[i]\ntype=identify\nendpoint=e\nmatch_header=X-Peer: a\n[e]\ntype=endpoint\nidentify_by=header\n",
    ),
    (
        "header's pattern",
        "[g]\ntype=global\nendpoint_identifier_order=header\n[i]\ntype=identify\nendpoint=e\nmatch_header=X-Peer: /^(a/\n[e]\ntype=endpoint\nidentify_by=header\n",
        "[g]\ntype=global\nendpoint_identifier_order=header\n[i]\ntype=identify\nendpoint=e\nmatch_header=X-Peer: /^(a)/\n[e]\ntype=endpoint\nidentify_by=header\n",
    ),
    (
        "way not in the order",
        "[i]\ntype=identify\nendpoint=e\nmatch_header=X-Peer: a\n[e]\ntype=endpoint\nidentify_by=header\n",
        "[i]\ntype=identify\nendpoint=e\nmatch=10.0.0.1\n[e]\ntype=endpoint\nidentify_by=ip\n",
    ),
    (
        "way not of the endpoint",
        "[i]\ntype=identify\nendpoint=e\nmatch=10.0.0.1\n[e]\ntype=endpoint\nidentify_by=username\n",
        "[i]\ntype=identify\nendpoint=e\nmatch=10.0.0.1\n[e]\ntype=endpoint\nidentify_by=username,ip\n",
    ),
    (
        "rules that go round",
        "[a]\ntype=acl\nacl=b\n[b]\ntype=acl\nacl=a\n",
        "[a]\ntype=acl\nacl=b\n[b]\ntype=acl\ndeny=10.0.0.0/8\n",
    ),
    // publishing
    (
        "no server_uri",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sips:a@b\n",
    ),
    (
        "no event",
        "[p]\ntype=outbound-publish\nserver_uri=sip:a@b\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n",
    ),
    (
        "unknown event",
        "[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-devicestates\n",
        "[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=presence\n",
    ),
    (
        "no scheme",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=a@b\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b:5070\n",
    ),
    (
        "telephone number",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=tel:+123\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:+123@b\n",
    ),
    (
        "angle brackets",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=<sip:a@b>\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n",
    ),
    (
        "no resource",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:10.0.0.1\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@10.0.0.1\n",
    ),
    (
        "semicolon not escaped",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b;transport=tcp\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\\;transport=tcp\n",
    ),
    (
        "too many lanes",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@lanes=129\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@lanes=128\n",
    ),
    (
        "filter",
        "[p]\ntype=outbound-publish\nevent=asterisk-devicestate\nserver_uri=sip:a@b\n@device_state_filter = ^PJSIP/(1|2[0-9]*\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-devicestate\nserver_uri=sip:a@b\n@device_state_filter = ^PJSIP/(1|2[0-9]*)\n",
    ),
    (
        "filter of Perl",
        "[p]\ntype=outbound-publish\nevent=asterisk-devicestate\nserver_uri=sip:a@b\n@device_state_filter=(?i)pjsip\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-devicestate\nserver_uri=sip:a@b\n@device_state_filter=^pjsip\n",
    ),
    (
        "filter of the other event",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@device_state_filter=^1\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@mailbox_state_filter=^1\n",
    ),
    (
        "owner of mailboxes",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@mailbox_owner=^1\n@mailbox_owner=^2 nobody\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\n@mailbox_owner=^2 a\n[a]\ntype=asterisk-publication\n",
    ),
    (
        "outbound_auth that is not there",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\noutbound_auth=Peer\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\noutbound_auth=peer\n",
    ),
    (
        "transport that is skipped",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\ntransport=w\n[w]\ntype=transport\nprotocol=ws\nbind=::\n[t]\ntype=transport\nbind=::\n",
        "[p]\ntype=outbound-publish\nevent=asterisk-mwi\nserver_uri=sip:a@b\ntransport=t\n[w]\ntype=transport\nprotocol=ws\nbind=::\n[t]\ntype=transport\nbind=::\n",
    ),
    // receiving
    (
        "asterisk-publication that is not there",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_asterisk-mwi=pere\n[pear]\ntype=asterisk-publication\n",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_asterisk-mwi=pear\n[pear]\ntype=asterisk-publication\n",
    ),
    (
        "event of nobody",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_asterisk_devicestates=r\n",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_presence=r\n",
    ),
    (
        "takes nothing",
        "[r]\ntype=inbound-publication\nendpoint=peer\n",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_dialog=r\n",
    ),
    (
        "endpoint that is not there",
        "[r]\ntype=inbound-publication\nendpoint=peers\nevent_dialog=r\n",
        "[r]\ntype=inbound-publication\nendpoint=peer\nevent_dialog=r\n",
    ),
    (
        "no authentication",
        "[r]\ntype=inbound-publication\nendpoint=e\nevent_asterisk-mwi=r\n[r]\ntype=asterisk-publication\n[e]\ntype=endpoint\n",
        "[r]\ntype=inbound-publication\nendpoint=e\nevent_asterisk-mwi=r\n[r]\ntype=asterisk-publication\n[e]\ntype=endpoint\nauth=peer\n",
    ),
    (
        "no authentication, open to all",
        "[r]\ntype=inbound-publication\nevent_asterisk-mwi=r\n[r]\ntype=asterisk-publication\n[e]\ntype=endpoint\n",
        "[r]\ntype=inbound-publication\nevent_asterisk-mwi=r\n[r]\ntype=asterisk-publication\n[e]\ntype=endpoint\nauth=peer\n",
    ),
    (
        "publish that is not there",
        "[r]\ntype=asterisk-publication\ndevicestate_publish=p\n",
        "[r]\ntype=asterisk-publication\ndevicestate_publish=p\n[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-devicestate\n",
    ),
    (
        "publish of another type",
        "[r]\ntype=asterisk-publication\ndevicestate_publish=peer\n",
        "[r]\ntype=asterisk-publication\n",
    ),
    (
        "publish of another event",
        "[r]\ntype=asterisk-publication\ndevicestate_publish=p\n[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-mwi\n",
        "[r]\ntype=asterisk-publication\nmailboxstate_publish=p\n[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=asterisk-mwi\n",
    ),
    (
        "publish of an event that is skipped",
        "[r]\ntype=asterisk-publication\ndevicestate_publish=p\n[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=dialog\n",
        "[r]\ntype=asterisk-publication\n[p]\ntype=outbound-publish\nserver_uri=sip:a@b\nevent=dialog\n",
    ),
    (
        "filter of nothing",
        "[r]\ntype=asterisk-publication\ndevice_state_filter=^1\n",
        "[r]\ntype=asterisk-publication\ndevice_state=yes\ndevice_state_filter=^1\n",
    ),
    // ourselves
    (
        "open HTTP",
        "[lampwire]\ntype=lampwire\nhttp_bind=0.0.0.0:7060\n",
        "[lampwire]\ntype=lampwire\nhttp_bind=0.0.0.0:7060\nhttp_token=x\n",
    ),
    (
        "no address of HTTP",
        "[lampwire]\ntype=lampwire\nhttp_bind=localhost:7060\n",
        "[lampwire]\ntype=lampwire\nhttp_bind=[::1]:7060\n",
    ),
    (
        "unreadable token",
        "[lampwire]\ntype=lampwire\nhttp_token=@/missing\n",
        "[lampwire]\ntype=lampwire\nhttp_token=@token\n",
    ),
    (
        "empty token",
        "[lampwire]\ntype=lampwire\nhttp_token=@empty\n",
        "[lampwire]\ntype=lampwire\nhttp_token=\n",
    ),
    (
        "token with a blank",
        "[lampwire]\ntype=lampwire\nhttp_token=a b\n",
        "[lampwire]\ntype=lampwire\nhttp_token=a-b\n",
    ),
    (
        "a DNS server by name",
        "[lampwire]\ntype=lampwire\nnameserver=192.0.2.53,dns.example\n",
        "[lampwire]\ntype=lampwire\nnameserver=192.0.2.53,[2001:db8::53]:5353\n",
    ),
    (
        "a DNS server at no address",
        "[lampwire]\ntype=lampwire\nnameserver=0.0.0.0\n",
        "[lampwire]\ntype=lampwire\nnameserver=\n",
    ),
    (
        "no state to retract as",
        "[lampwire]\ntype=lampwire\nretract_as=BUSY\n",
        "[lampwire]\ntype=lampwire\nretract_as=unavailable\n",
    ),
    (
        "expires the wrong way round",
        "[lampwire]\ntype=lampwire\nexpires_min=100\nexpires_max=99\n",
        "[lampwire]\ntype=lampwire\nexpires_min=100\nexpires_max=100\n",
    ),
    (
        "hold time with a unit",
        "[lampwire]\ntype=lampwire\nhold_time=60s\n",
        "[lampwire]\ntype=lampwire\nhold_time=0\n",
    ),
    (
        "no entity id of ours",
        "[lampwire]\ntype=lampwire\nentity_id=2\n",
        "[lampwire]\ntype=lampwire\nentity_id=\n",
    ),
    // Asterisks by their manager interface, and clients of the API
    (
        "ami without host",
        "[a]\ntype=ami\nusername=u\nsecret=s\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n",
    ),
    (
        "ami without user and secret",
        "[a]\ntype=ami\nhost=192.0.2.1\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n",
    ),
    (
        "ami with host and port in one",
        "[a]\ntype=ami\nhost=192.0.2.1:5038\nusername=u\nsecret=s\n",
        "[a]\ntype=ami\nhost=[2001:db8::1]\nport=5038\nusername=u\nsecret=s\n",
    ),
    (
        "ami with an empty secret file",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=@empty\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=@token\n",
    ),
    (
        "ami with authorities and without tls",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nca_list_file=/ca.pem\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\ntls=yes\nca_list_file=/ca.pem\n",
    ),
    (
        "ami that reads what it writes",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\nmailbox_state_filter=@a$\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\nmailbox_state_filter=@a$\ndevice_state_filter=^PJSIP/\n",
    ),
    (
        "ami whose filter is not anchored",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\nmailbox_state_filter=@a$\ndevice_state_filter=PJSIP/\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\nmailbox_state_filter=@a$\ndevice_state_filter=^PJSIP/\n",
    ),
    (
        "ami that reads all mailboxes and writes some",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\ndevice_state_filter=^PJSIP/\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nsink=yes\ndevice_state_filter=^PJSIP/\nmailbox_state_filter=@a$\n",
    ),
    (
        "ami without prefix",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nprefix=\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nprefix=far/\n",
    ),
    (
        "ami with a mailbox that is none",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nmailboxes=100\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nmailboxes=100@default,200@default\n",
    ),
    (
        "ami with a mailbox that it does not take",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nmailbox_state_filter=@a$\nmailboxes=100@b\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\nmailbox_state_filter=@a$\nmailboxes=100@a\n",
    ),
    (
        "ami of one Asterisk twice",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n[b]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n[b]\ntype=ami\nhost=192.0.2.2\nusername=u\nsecret=s\n",
    ),
    (
        "ami of a peer",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n[p]\ntype=outbound-publish\nserver_uri=sip:a@192.0.2.1\nevent=asterisk-mwi\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\n[p]\ntype=outbound-publish\nserver_uri=sip:a@192.0.2.2\nevent=asterisk-mwi\n",
    ),
    (
        "ami with our entity id",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\neid=02:00:00:00:00:01\n[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\n",
        "[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\neid=02:00:00:00:00:02\n[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:01\n",
    ),
    (
        "api-client without token",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\n",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\n",
    ),
    (
        "api-client with the node's token",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=x\n",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=@token\n",
    ),
    (
        "api-clients with one token",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\n[d]\ntype=api-client\ntoken=y\n",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\n[d]\ntype=api-client\ntoken=z\n",
    ),
    (
        "api-client beside an open door",
        "[c]\ntype=api-client\ntoken=y\n",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\n",
    ),
    (
        "api-client with an Asterisk's entity id",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\neid=02:00:00:00:00:02\n[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\neid=02:00:00:00:00:02\n",
        "[lampwire]\ntype=lampwire\nhttp_token=x\n[c]\ntype=api-client\ntoken=y\neid=02:00:00:00:00:03\n[a]\ntype=ami\nhost=192.0.2.1\nusername=u\nsecret=s\neid=02:00:00:00:00:02\n",
    ),
    // rewrites
    (
        "a rewrite without peer",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\ndevice=* -> t-*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=* -> t-*\n",
    ),
    (
        "a rewrite for nobody",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=b\ndevice=* -> t-*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=* -> t-*\n",
    ),
    (
        "a rewrite of nothing",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nmailbox=* -> *x\n",
    ),
    (
        "a rewrite without way back",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> PJSIP/1\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/1*\n",
    ),
    (
        "a rewrite with two stars",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=*/* -> a*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=* -> a*\n",
    ),
    (
        "a rewrite without arrow",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* PJSIP/*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/x*\n",
    ),
    (
        "two names become one",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/x*\ndevice=IAX2/* -> SIP/x*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/x*\ndevice=IAX2/* -> IAX2/x*\n",
    ),
    (
        "a rewrite that is never reached",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=* -> x*\ndevice=SIP/1 -> SIP/2\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nmailbox=* -> x*\ndevice=SIP/* -> SIP/y*\n",
    ),
    (
        "a name of the peer's own in the way",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> PJSIP/*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> PJSIP/*\ndevice=PJSIP/* -> SIP/*\n",
    ),
    (
        "a state that is none",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nstate=BUSY -> OCCUPIED\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nstate=BUSY -> INUSE\n",
    ),
    (
        "two states become one",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nstate=BUSY -> INUSE\nstate=RINGINUSE -> INUSE\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nstate=BUSY -> INUSE\nstate=RINGINUSE -> INUSE\n",
    ),
    (
        "a state that the peer has itself and that another becomes",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nstate=UNAVAILABLE -> NOT_INUSE\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nstate=UNAVAILABLE -> NOT_INUSE\nstate=NOT_INUSE -> UNAVAILABLE\n",
    ),
    (
        "a state that is rewritten twice",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nstate=BUSY -> INUSE\nstate=BUSY -> RINGING\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nstate=BUSY -> INUSE\nstate=RINGINUSE -> RINGING\n",
    ),
    (
        "two rewrites of one peer that make one name of two",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/x*\n[s]\ntype=rewrite\npeer=a\ndevice=IAX2/* -> SIP/x*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndevice=SIP/* -> SIP/x*\n[s]\ntype=rewrite\npeer=a\ndevice=IAX2/* -> IAX2/x*\n",
    ),
    (
        "a rewrite behind another of the same peer",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\nmailbox=* -> x*\n[s]\ntype=rewrite\npeer=a\nmailbox=1* -> 1x*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nmailbox=* -> x*\n[s]\ntype=rewrite\npeer=a\ndirection=out\nmailbox=1x* -> 1*\n",
    ),
    (
        "two rewrites of one peer that make one state of two",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=out\nstate=BUSY -> INUSE\n[s]\ntype=rewrite\npeer=a\ndirection=out\nstate=RINGING -> INUSE\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\nstate=BUSY -> INUSE\n[s]\ntype=rewrite\npeer=a\ndirection=out\nstate=RINGING -> INUSE\n",
    ),
    (
        "two names of ours that the peer is told as one",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=out\ndevice=SIP/x* -> SIP/*\ndevice=SIP/x* -> IAX2/*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=out\ndevice=SIP/x* -> SIP/*\ndevice=IAX2/x* -> IAX2/*\n",
    ),
    (
        "a rewrite into nowhere",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=up\ndevice=* -> x*\n",
        "[a]\ntype=asterisk-publication\n[r]\ntype=rewrite\npeer=a\ndirection=in\ndevice=* -> x*\n",
    ),
    // clusters
    (
        "a cluster without relay",
        "[c]\ntype=cluster\nurl=nats://127.0.0.1\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\n",
    ),
    (
        "a cluster without servers",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=localhost\nurl=nats://[::1]:4333\n",
    ),
    (
        "a cluster whose servers are none",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=http://127.0.0.1, nats://u:p@127.0.0.1, nats://127.0.0.1:70000\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1, nats://127.0.0.2:4333\n",
    ),
    (
        "a cluster in the open",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://192.0.2.1\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=tls://192.0.2.1\nusername=u\npassword=@token\n",
    ),
    (
        "a cluster with half a login",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\nusername=u\ncert_file=c\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\nusername=u\npassword=p\ncert_file=c\npriv_key_file=k\n",
    ),
    (
        "a cluster with two logins",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\ntoken=t\nnkey=x\ncredentials=token\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\nnkey=SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n",
    ),
    (
        "a cluster with names that cannot be",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[my cluster]\ntype=cluster\nurl=nats://127.0.0.1\nsite=a.b\ndomain=c d\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[my cluster]\ntype=cluster\ncluster=mine\nurl=nats://127.0.0.1\nsite=a-b\ndomain=c_d\nnode=hub one\n",
    ),
    (
        "a cluster with numbers that cannot be",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\nreplicas=6\nstorage=tape\nprotocol=0\nrank=-1\nmax_bytes=x\nwide_device_state_filter=[\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\nreplicas=3\nstorage=memory\nprotocol=1\nrank=0\nmax_bytes=1000000\nwide_device_state_filter=^PJSIP/\n",
    ),
    (
        "two clusters",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[c]\ntype=cluster\nurl=nats://127.0.0.1\n[d]\ntype=cluster\nurl=nats://127.0.0.1\n",
        "[lampwire]\ntype=lampwire\nrelay=yes\n[d]\ntype=cluster\nurl=nats://127.0.0.1\n",
    ),
    (
        "two of us",
        "[lampwire]\ntype=lampwire\n[node]\ntype=lampwire\n",
        "[node]\ntype=lampwire\n",
    ),
];

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    let main = format!("{text}{PEER}");
    let mut source = MapSource::new([
        ("main.conf", main.as_str()),
        ("other.conf", "[other]\ntype=acl\n"),
        ("token", "secret\n"),
        ("empty", "\n"),
    ]);
    load("main.conf", &mut source).1
}

#[test]
fn wrong_configurations_are_told() {
    let mut told = String::new();
    for (name, wrong, _) in CASES {
        let found = diagnostics(wrong);
        assert!(!found.is_empty(), "{name}: nothing is found");
        writeln!(told, "-- {name}").unwrap();
        for diagnostic in found {
            writeln!(told, "{diagnostic} [{}]", diagnostic.code).unwrap();
        }
    }
    insta::assert_snapshot!(told);
    assert!(CASES.len() >= 60);
}

#[test]
fn their_twins_are_right() {
    for (name, wrong, right) in CASES {
        let found = diagnostics(right);
        let wrong: Vec<&str> = diagnostics(wrong)
            .iter()
            .map(|diagnostic| diagnostic.code)
            .collect();
        for diagnostic in found {
            assert_eq!(diagnostic.severity, Severity::Note, "{name}: {diagnostic}");
            assert!(
                !wrong.contains(&diagnostic.code) || diagnostic.code == "section-skipped",
                "{name}: {diagnostic}"
            );
        }
    }
}

/// Errors of the grammar, of values and of references in one file are told together, in the order of its lines.
#[test]
fn all_errors_at_once() {
    let text = "[a]\ntype=endpoint\nauth=nobody\nidentify_by=ipp\nconext=x\n[b\n[c]\ntype=auht\n[d](x)\n[e]\ntype=transport\n";
    let (_, found) = load("f.conf", &mut MapSource::new([("f.conf", text)]));
    let lines: Vec<(u32, &str)> = found
        .iter()
        .map(|diagnostic| (diagnostic.at.line, diagnostic.code))
        .collect();
    assert_eq!(
        lines,
        [
            (3, "dangling-reference"),
            (4, "bad-value"),
            (5, "unknown-option"),
            (6, "missing-bracket"),
            (8, "unknown-type"),
            (9, "unknown-template"),
            (10, "missing-option"),
        ]
    );
}

#[test]
fn an_unreadable_file_is_told() {
    let (_, found) = load("f.conf", &mut MapSource::default());
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "f.conf:0:0: error: cannot be read: No such file or directory"
    );
}

/// A template's line is read for each heir; what is wrong with it is told once.
#[test]
fn a_templates_error_is_told_once() {
    let text = "[t](!)\ntype=endpoint\nconext=x\n[a](t)\n[b](t)\n[c](t)\n";
    let (_, found) = load("f.conf", &mut MapSource::new([("f.conf", text)]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].at.line, 3);
}

#[test]
fn findings_are_bounded() {
    let mut text = "[a]\ntype=endpoint\n".to_owned();
    for number in 0..3_000 {
        writeln!(text, "nonsense_{number}=1").unwrap();
    }
    let (_, found) = load("f.conf", &mut MapSource::new([("f.conf", text)]));
    assert_eq!(found.len(), lampwire_conf::limits::MAX_DIAGNOSTICS + 1);
    let last = found.last().unwrap();
    assert_eq!((last.severity, last.code), (Severity::Error, "more"));
    assert!(last.message.starts_with("2000 more findings"), "{last}");
}
