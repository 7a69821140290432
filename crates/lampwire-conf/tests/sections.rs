//! Every option that acts, typed; and a large pjsip.conf as people have it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lampwire_conf::{
    AuthSecret, AuthType, CertificateName, Config, IdentifyBy, MapSource, Match, Protocol,
    RetractAs, Severity, TlsMethod, ValueMatch, load, options,
};
use lampwire_sip::{Algorithm, DeviceState, EventPackage};

fn config(text: &str) -> Config {
    let mut source = MapSource::new([("main.conf", text), ("/etc/token", "tok-en\r\n")]);
    let (config, diagnostics) = load("main.conf", &mut source);
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    config
}

#[test]
fn defaults_are_those_of_the_tables() {
    let empty = config("");
    let given = config("[l]\ntype=lampwire\n[g]\ntype=global\n[s]\ntype=system\n");
    for config in [&empty, &given] {
        let lampwire = &config.lampwire;
        assert_eq!(lampwire.entity_id, None);
        assert_eq!(lampwire.state_dir.as_deref(), Some("/var/lib/lampwire"));
        assert_eq!(lampwire.http_bind.unwrap().to_string(), "127.0.0.1:7060");
        assert!(lampwire.http_token.is_none());
        assert!(lampwire.nameservers.is_empty());
        assert!(!lampwire.relay);
        assert_eq!(lampwire.hold_time, Duration::from_secs(60));
        assert_eq!(lampwire.retract_as, RetractAs::State(DeviceState::Invalid));
        assert_eq!((lampwire.expires_min, lampwire.expires_max), (10, 7200));
        let global = &config.global;
        assert_eq!(global.max_forwards, 70);
        assert_eq!(
            global.endpoint_identifier_order,
            [IdentifyBy::Ip, IdentifyBy::Username, IdentifyBy::Anonymous]
        );
        assert_eq!(global.default_realm, "asterisk");
        assert_eq!(global.default_auth_algorithms_uas, [Algorithm::Md5]);
        assert_eq!(global.default_auth_algorithms_uac, [Algorithm::Md5]);
        assert_eq!(global.keep_alive_interval, Duration::from_secs(90));
        assert_eq!(global.unidentified_request_period, Duration::from_secs(5));
        assert_eq!(global.unidentified_request_count, 5);
        assert_eq!(
            global.unidentified_request_prune_interval,
            Duration::from_secs(30)
        );
        assert!(!global.ignore_uri_user_options && global.user_agent.is_none());
        let system = &config.system;
        assert_eq!(
            (system.timer_t1, system.timer_b),
            (Duration::from_millis(500), Duration::from_secs(32))
        );
        assert!(!system.compact_headers && system.disable_tcp_switch && !system.disable_rport);
    }
    assert!(empty.lampwire.at.is_none() && given.lampwire.at.is_some());
    let transport = &empty.transports[0];
    assert_eq!(
        (transport.name.as_str(), transport.protocol),
        ("default", Protocol::Udp)
    );
    assert_eq!(transport.bind.to_string(), "0.0.0.0:5060");
}

#[test]
fn ourselves() {
    let config = config(
        "[lampwire]\ntype=lampwire\nentity_id=02:00:00:00:00:0A\nstate_dir=\nhttp_bind=[::]:80\nhttp_token=@/etc/token\nrelay=yes\n\
         nameserver=192.0.2.53, [2001:db8::53]:5353\nnameserver=192.0.2.53:53,192.0.2.54:1053\n\
         http_cert=/etc/c.pem\nhttp_key=/etc/k.pem\nhep_server=192.0.2.60\n\
         hold_time=0\nretract_as=Keep\nexpires_min=0\nexpires_max=60\n",
    );
    let lampwire = &config.lampwire;
    assert_eq!(lampwire.entity_id.unwrap().to_string(), "02:00:00:00:00:0a");
    assert_eq!(lampwire.state_dir, None);
    assert_eq!(lampwire.http_bind.unwrap().to_string(), "[::]:80");
    assert_eq!(lampwire.http_token.as_ref().unwrap().expose(), "tok-en");
    assert_eq!(format!("{:?}", lampwire.http_token), "Some(Secret(..))");
    assert!(lampwire.relay);
    assert_eq!(
        (lampwire.http_cert.as_deref(), lampwire.http_key.as_deref()),
        (Some("/etc/c.pem"), Some("/etc/k.pem"))
    );
    assert_eq!(lampwire.hep_server.unwrap().to_string(), "192.0.2.60:9060");
    let servers: Vec<String> = lampwire
        .nameservers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        servers,
        ["192.0.2.53:53", "[2001:db8::53]:5353", "192.0.2.54:1053"]
    );
    assert_eq!(
        (lampwire.hold_time, lampwire.retract_as),
        (Duration::ZERO, RetractAs::Keep)
    );
    assert_eq!((lampwire.expires_min, lampwire.expires_max), (0, 60));
    assert!(
        self::config("[l]\ntype=lampwire\nhttp_bind=\n")
            .lampwire
            .http_bind
            .is_none()
    );
    assert_eq!(
        self::config("[l]\ntype=lampwire\nhttp_bind=127.1.2.3\n")
            .lampwire
            .http_bind
            .unwrap()
            .port(),
        7060
    );
}

#[test]
fn transports() {
    let config = config(
        "[t]\ntype=transport\nprotocol=TLS\nbind=[::1]\nexternal_signaling_address=203.0.113.1\nexternal_signaling_port=5070\n\
         external_signaling_hostname=pbx.example\nlocal_net=10.0.0.0/8\nlocal_net=192.168.0.0/255.255.0.0,fd00::/8\ndomain=d\nca_list_file=a\n\
         ca_list_path=b\ncert_file=c\npriv_key_file=d\npassword=e\ncipher=X, Y\nmethod=tlsv1_3\nrequire_client_cert=yes\nverify_client=yes\n\
         verify_server=yes\nallow_wildcard_certs=yes\ntcp_keepalive_enable=yes\ntcp_keepalive_idle_time=1\ntcp_keepalive_interval_time=2\n\
         tcp_keepalive_probe_count=3\ntos=ef\ncos=5\nallow_reload=yes\nsymmetric_transport=yes\n\
         [u]\ntype=transport\nbind=127.0.0.1:0\ntos=0x18\n[v]\ntype=transport\nbind=127.0.0.1:0\ntos=no\n[w]\ntype=transport\nprotocol=ws\nbind=0.0.0.0\n",
    );
    let t = &config.transports[0];
    assert_eq!(
        (t.protocol, t.bind.to_string().as_str()),
        (Protocol::Tls, "[::1]:5061")
    );
    assert_eq!(t.external_signaling_address.as_deref(), Some("203.0.113.1"));
    assert_eq!(t.external_signaling_port, Some(5070));
    assert_eq!(
        t.external_signaling_hostname.as_deref(),
        Some("pbx.example")
    );
    let nets: Vec<String> = t.local_net.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"]);
    assert_eq!(t.tls.cipher, ["X", "Y"]);
    assert_eq!(t.tls.method, TlsMethod::Tls13);
    assert!(
        t.tls.require_client_cert
            && t.tls.verify_client
            && t.tls.verify_server
            && t.tls.allow_wildcard_certs
    );
    assert_eq!(t.tls.password.as_ref().unwrap().expose(), "e");
    let keepalive = t.tcp_keepalive.unwrap();
    assert_eq!(keepalive.idle_time, Duration::from_secs(1));
    assert_eq!(
        (keepalive.interval, keepalive.probe_count),
        (Duration::from_secs(2), 3)
    );
    assert_eq!((t.tos, t.cos), (0xb8, 5));
    assert!(t.allow_reload && t.symmetric_transport);
    assert_eq!(
        (config.transports[1].tos, config.transports[2].tos),
        (0x18, 0)
    );
    assert_eq!(config.transports[1].bind.port(), 0);
    assert_eq!(config.transports.len(), 3);
}

#[test]
fn endpoints_and_identification() {
    let config = config(
        "[global]\ntype=global\nendpoint_identifier_order=header, request_uri,ip,auth_username,anonymous,username\nignore_uri_user_options=yes\n\
         [a]\ntype=endpoint\nauth=x,y\nauth=z,x\nidentify_by=ip,header,request_uri,auth_username\noutbound_auth=x\noutbound_proxy=sip:p\\;lr\n\
         transport=u\nfrom_domain=d\nacl=l\ndeny=0.0.0.0/0\npermit=10.0.0.0/8\n@entity_id=02:00:00:00:00:01\n@allowed_eids=02:*,03:*\n@allowed_eids=04:*\n\
         @identify_by_certificate=subject:CN, with comma\n@identify_by_certificate=SAN: pbx.example\n\
         [u]\ntype=transport\nbind=0.0.0.0\n[l]\ntype=acl\nacl=m\ndeny=::/0\n[m]\ntype=acl\n\
         [x]\ntype=auth\nusername=x\npassword=p;comment\n[y]\ntype=auth\nusername=y\npassword=p\n[z]\ntype=auth\nusername=z\npassword=p\n\
         [i]\ntype=identify\nendpoint=a\nmatch=10.0.0.1, !10.0.0.2\nmatch=PBX.example.,[2001:db8::]/32\nsrv_lookups=no\nmatch_header=X-Peer: /^A+$/\n\
         match_request_uri=sip:a@b\n",
    );
    let a = &config.endpoints[0];
    assert_eq!(a.auth, ["x", "y", "z"]);
    assert_eq!(
        a.identify_by,
        [
            IdentifyBy::Ip,
            IdentifyBy::Header,
            IdentifyBy::RequestUri,
            IdentifyBy::AuthUsername
        ]
    );
    assert_eq!(a.outbound_proxy.as_deref(), Some("sip:p;lr"));
    assert_eq!(
        (a.transport.as_deref(), a.from_domain.as_deref()),
        (Some("u"), Some("d"))
    );
    assert_eq!(a.acl, ["l"]);
    assert_eq!(
        a.permit_deny
            .iter()
            .map(|rule| rule.allow)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert!(a.entity_id.is_some());
    assert_eq!(a.allowed_eids.len(), 3);
    assert_eq!(
        a.identify_by_certificate,
        [
            CertificateName::Subject("CN, with comma".into()),
            CertificateName::San("pbx.example".into())
        ]
    );
    assert_eq!(config.acls[0].acl, ["m"]);
    let AuthSecret::Password(password) = &config.auths[0].secret else {
        panic!()
    };
    assert_eq!(password.expose(), "p");
    let i = &config.identifies[0];
    let shown: Vec<String> = i
        .matches
        .iter()
        .map(|m| match m {
            Match::Network { network, negated } => format!("{negated} {network}"),
            Match::Host { name, negated } => format!("{negated} {name}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "false 10.0.0.1/32",
            "true 10.0.0.2/32",
            "false pbx.example",
            "false 2001:db8::/32"
        ]
    );
    assert!(!i.srv_lookups);
    assert_eq!(i.match_header[0].name, "X-Peer");
    assert!(i.match_header[0].value.is_match("AA") && !i.match_header[0].value.is_match("aa"));
    assert_eq!(
        i.match_request_uri[0].0,
        ValueMatch::Exact("sip:a@b".into())
    );
    let plain = self::config("[a]\ntype=endpoint\n");
    assert_eq!(
        plain.endpoints[0].identify_by,
        [IdentifyBy::Username, IdentifyBy::Ip]
    );
}

#[test]
fn credentials() {
    let md5 = "0123456789abcdef0123456789abcdef";
    let sha = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let config = config(&format!(
        "[a]\ntype=auth\nusername=u\nauth_type=digest\npassword_digest=SHA-256:{sha},MD5:{md5}\npassword_digest=sha-512-256:{sha}\nrealm=r\nnonce_lifetime=60\n\
         [b]\ntype=auth\nusername=u\nauth_type=md5\nmd5_cred={md5}\n\
         [c]\ntype=auth\nusername=u\npassword=p\nsupported_algorithms_uas=SHA-512-256,MD5\nsupported_algorithms_uac=SHA-256\n\
         [d]\ntype=auth\nusername=u\nauth_type=digest\npassword_digest=SHA-512-256:{sha}\n\
         [g]\ntype=global\ndefault_auth_algorithms_uas=SHA-256,MD5\n"
    ));
    let [a, b, c, d] = config.auths.as_slice() else {
        panic!()
    };
    assert_eq!(a.auth_type, AuthType::Digest);
    let AuthSecret::Digests(digests) = &a.secret else {
        panic!()
    };
    assert_eq!(digests.len(), 3);
    assert_eq!(a.algorithms_uas, [Algorithm::Sha256, Algorithm::Md5]);
    assert_eq!(a.algorithms_uac, [Algorithm::Md5]);
    assert_eq!(
        (a.realm.as_deref(), a.nonce_lifetime),
        (Some("r"), Duration::from_secs(60))
    );
    assert_eq!(b.algorithms_uas, [Algorithm::Md5]);
    assert_eq!(b.nonce_lifetime, Duration::from_secs(32));
    assert_eq!(c.algorithms_uas, [Algorithm::Sha512_256, Algorithm::Md5]);
    assert_eq!(c.algorithms_uac, [Algorithm::Sha256]);
    assert_eq!(d.algorithms_uas, [Algorithm::Sha512_256]);
    assert!(!format!("{config:?}").contains("Password(\"p\")"));
}

#[test]
fn publishing() {
    let config = config(
        "[p]\ntype=outbound-publish\nserver_uri=sips:r@[2001:db8::1]:5070\\;transport=tcp\nevent=asterisk-devicestate\nexpiration=10\noutbound_auth=x\n\
         outbound_proxy=sip:p\\;lr\nfrom_uri=sip:f@a\nto_uri=sip:t@a\nmax_auth_attempts=1\ntransport=u\nmulti_user=no\n@from_uri=sip:ff@a\n@to_uri=sip:tt@a\n\
         @device_state_filter=^PJSIP/\n@lanes=128\n@rate_limit=100\n@resync=0\n@probe=0\n@qualify_frequency=0\n@qualify_timeout=1\n@canary=yes\n\
         @mailbox_owner=^1[0-9] [0-9]  r\n[r]\ntype=asterisk-publication\ndevicestate_publish=p\n\
         [q]\ntype=outbound-publish\nserver_uri=sip:r@b\nevent=asterisk-mwi\n@mailbox_state_filter=^1\n\
         [s]\ntype=outbound-publish\nserver_uri=sip:r@b\nevent=dialog\n\
         [u]\ntype=transport\nbind=0.0.0.0\n[x]\ntype=auth\nusername=x\npassword=p\n\
         [r]\ntype=inbound-publication\nevent_asterisk-devicestate=r\nEVENT_presence=x\n",
    );
    let [p, q] = config.outbound_publishes.as_slice() else {
        panic!()
    };
    assert_eq!(p.server_uri, "sips:r@[2001:db8::1]:5070;transport=tcp");
    assert_eq!(
        (p.event, p.expiration, p.max_auth_attempts),
        (EventPackage::DeviceState, 10, 1)
    );
    assert_eq!(
        (p.from_uri.as_deref(), p.at_from_uri.as_deref()),
        (Some("sip:f@a"), Some("sip:ff@a"))
    );
    assert_eq!(
        (p.to_uri.as_deref(), p.at_to_uri.as_deref()),
        (Some("sip:t@a"), Some("sip:tt@a"))
    );
    assert_eq!(p.device_state_filter.as_ref().unwrap().as_str(), "^PJSIP/");
    assert_eq!((p.lanes, p.rate_limit, p.canary), (128, 100, true));
    assert_eq!(
        (p.resync, p.probe, p.qualify_frequency),
        (Duration::ZERO, Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(
        (
            p.mailbox_owner[0].pattern.as_str(),
            p.mailbox_owner[0].peer.as_str()
        ),
        ("^1[0-9] [0-9]", "r")
    );
    assert_eq!(
        (
            q.lanes,
            q.rate_limit,
            q.canary,
            q.expiration,
            q.max_auth_attempts
        ),
        (8, 0, false, 3600, 5)
    );
    assert_eq!(q.resync, Duration::from_secs(3600));
    assert_eq!(
        (q.probe, q.qualify_frequency),
        (Duration::from_secs(5), Duration::from_secs(20))
    );
    assert_eq!(q.qualify_timeout, Duration::from_secs(3));
    assert!(q.mailbox_state_filter.is_some() && q.device_state_filter.is_none());
    let inbound = &config.inbound_publications[0];
    assert_eq!(
        (inbound.device_state.as_deref(), inbound.mwi.as_deref()),
        (Some("r"), None)
    );
}

/// What does not concern the exchange is no error, and one line says what was skipped.
#[test]
fn a_working_pjsip_conf() {
    let text = "[global]\ntype=global\ndebug=no\nregcontext=x\n[system]\ntype=system\nthreadpool_idle_timeout=100\n\
        [transport-udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0\nasync_operations=1\n\
        [transport-wss]\ntype=transport\nprotocol=wss\nbind=0.0.0.0\n\
        [phone](!)\ntype=endpoint\ncontext=internal\ndisallow=all\nallow=ulaw\ndtmf_mode=rfc4733\nset_var=A=B\n100rel=no\n\
        [phone-auth](!)\ntype=auth\nauth_type=userpass\n[phone-aor](!)\ntype=aor\nmax_contacts=1\n\
        [100](phone)\nauth=100\naors=100\ncallerid=A <100>\n[100](phone-auth)\nusername=100\npassword=x\n[100](phone-aor)\n\
        [101](phone)\nauth=101\naors=101\ntransport=transport-wss\nwebrtc=yes\n[101](phone-auth)\nusername=101\npassword=x\n[101](phone-aor)\n\
        [trunk]\ntype=registration\nserver_uri=sip:a@b\n[trunk]\ntype=endpoint\noutbound_auth=trunk\n[trunk]\ntype=auth\nauth_type=google_oauth\n\
        [trunk]\ntype=identify\nendpoint=trunk\nmatch=203.0.113.1\n[list]\ntype=resource_list\nevent=presence\n\
        [acl]\ntype=acl\ndeny=0.0.0.0/0.0.0.0\npermit=209.16.236.0/24\ncontact_deny=0.0.0.0/0\n";
    let (config, diagnostics) = load("pjsip.conf", &mut MapSource::new([("pjsip.conf", text)]));
    let shown: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "pjsip.conf:15:10: note: `transport-wss` is skipped: protocol `wss` is not spoken here",
            "pjsip.conf:38:1: note: sections that do not concern the exchange are skipped: 2 aor, 1 registration, 1 resource_list",
            "pjsip.conf:56:11: note: `trunk` is skipped: OAuth does not concern the exchange",
        ]
    );
    assert_eq!(config.endpoints.len(), 3);
    // What is left of names is that of sections.
    assert_eq!(config.endpoints[1].transport, None);
    assert!(config.endpoints[2].outbound_auth.is_empty());
}

/// The tables have all options that Asterisk 22 has: so many of each of its types.
#[test]
fn the_tables_are_whole() {
    let count = |name: &str| {
        let spec = options::section_spec(name).unwrap();
        let acting = spec
            .options
            .iter()
            .filter(|o| o.effect == options::Effect::Acts);
        let acting = acting.filter(|o| !o.name.starts_with('@')).count();
        (
            acting,
            spec.options
                .iter()
                .filter(|o| o.effect == options::Effect::Known)
                .count(),
        )
    };
    for (name, counts) in [
        ("global", (11, 17)),
        ("system", (5, 11)),
        ("transport", (26, 3)),
        ("endpoint", (9, 136)),
        ("auth", (9, 3)),
        ("identify", (5, 0)),
        ("acl", (3, 3)),
        ("outbound-publish", (9, 1)),
        ("inbound-publication", (3, 0)),
        ("asterisk-publication", (6, 0)),
    ] {
        assert_eq!(count(name), counts, "{name}");
    }
}

/// Fifty thousand sections load in a time that nobody notices, and nothing is searched for twice.
#[test]
fn many_sections() {
    use std::fmt::Write;
    let mut text = "[phone](!)\ntype=endpoint\ncontext=internal\nallow=ulaw\n".to_owned();
    for number in 0..10_000 {
        writeln!(text, "[{number}](phone)\nauth={number}\n[{number}]\ntype=auth\nusername={number}\npassword=x\n[{number}]\ntype=aor").unwrap();
    }
    let config = config(&text);
    assert_eq!(
        (config.endpoints.len(), config.auths.len()),
        (10_000, 10_000)
    );
}

#[test]
fn asterisks_by_their_manager_interface() {
    let (config, _) = load(
        "main.conf",
        &mut MapSource::new([
            (
                "main.conf",
                "[a]\ntype=ami\nhost=[2001:db8::1]\nusername=u\nsecret=@/secret\ntls=yes\n\
                 [b]\ntype=ami\nhost=pbx.example\nport=15038\nusername=u\nsecret=s\nsink=yes\nprefix=far/\n\
                 device_state_filter=^PJSIP/\nmailbox_state_filter=@a$\nmailboxes=2@a, 1@a\nmailboxes=1@a\neid=02:00:00:00:00:0b\n",
            ),
            ("/secret", "hunter2\n"),
        ]),
    );
    let [a, b] = config.amis.as_slice() else {
        panic!("{:?}", config.amis)
    };
    assert_eq!((a.host.as_str(), a.port), ("2001:db8::1", 5039));
    assert!(a.tls && a.verify_server && !a.sink);
    assert_eq!(a.secret.expose(), "hunter2");
    assert!(!format!("{a:?}").contains("hunter2"));
    assert_eq!((b.host.as_str(), b.port), ("pbx.example", 15038));
    assert_eq!(b.sink_prefix(), "Custom:far/");
    assert_eq!(b.mailboxes, ["1@a", "2@a"]);
    assert_eq!(b.eid, "02:00:00:00:00:0b".parse().ok());
}
