//! `type=auth`: credentials, to challenge with or to answer with.

use std::time::Duration;

use lampwire_sip::{Algorithm, HexDigest};

use super::{Options, one_of};
use crate::Location;
use crate::diagnostic::quote;
use crate::options::{OptionSpec, SectionSpec, acts, known, list, unset};
use crate::secret::Secret;
use crate::value::{self, ALGORITHMS};

use super::global::Global;

const OPTIONS: &[OptionSpec] = &[
    acts(
        "auth_type",
        "userpass",
        "userpass (password), md5 (md5_cred) or digest (password or password_digest).",
    ).example("digest"),
    unset("username", "The user name of the credentials.").example("office"),
    unset("password", "The password in clear.").example("a long one that nobody has seen"),
    list(
        "password_digest",
        "ALGORITHM:HEX, the digest of username:realm:password, one for each algorithm.",
    ).example("SHA-256:c2f6d9e5e8b6b1f5b5b0b5a6f3c1d2e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0"),
    unset(
        "md5_cred",
        "The MD5 digest of username:realm:password in hex.",
    ).example("5f4dcc3b5aa765d61d8327deb882cf99"),
    unset(
        "supported_algorithms_uac",
        "Digest algorithms we answer with: MD5, SHA-256, SHA-512-256.",
    ).example("SHA-256,MD5"),
    unset(
        "supported_algorithms_uas",
        "Digest algorithms we challenge with, in order: MD5, SHA-256, SHA-512-256.",
    ).example("SHA-256,MD5"),
    unset(
        "realm",
        "The realm to challenge with, or to answer to; default_realm of global where it is not given.",
    ).example("pbx.example.com"),
    acts(
        "nonce_lifetime",
        "32",
        "Seconds for which a nonce of ours is good.",
    ).example("60"),
    unset(
        "@qop",
        "Qualities of protection (RFC 7616) that are taken: auth, auth-int (the body too), none (for peers that know none). auth and auth-int \
         are offered as named here. Without it auth is offered and all three are taken.",
    ).example("auth"),
    known("refresh_token"),
    known("oauth_clientid"),
    known("oauth_secret"),
];

pub(crate) const SPEC: SectionSpec = SectionSpec {
    name: "auth",
    doc: "Credentials, to challenge with or to answer with.",
    options: OPTIONS,
    open_prefix: None,
    single: false,
};

/// Credentials, to challenge with or to answer with.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The section's name.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// How the secret was given.
    pub auth_type: AuthType,
    /// The user name; may be empty (a warning has said so).
    pub username: String,
    /// The password, or what stands for it.
    pub secret: AuthSecret,
    /// The realm; None: `default_realm` as server, any as client.
    pub realm: Option<String>,
    /// How long a nonce is good, 1 s to a day.
    pub nonce_lifetime: Duration,
    /// Algorithms to challenge with, in order: its own or the default's. The secret has each of them.
    pub algorithms_uas: Vec<Algorithm>,
    /// Algorithms to answer with: its own or the default's. The secret has each of them.
    pub algorithms_uac: Vec<Algorithm>,
    /// Qualities of protection that are offered and taken.
    pub qop: Vec<QualityOfProtection>,
    /// Whether `qop` was given: if not, `auth` alone is offered.
    pub qop_given: bool,
}

/// What credentials protect (RFC 7616 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualityOfProtection {
    /// Method and request-URI, each nonce a counted number of times.
    Auth,
    /// The body too.
    AuthInt,
    /// Method and request-URI, as long as the nonce is good (RFC 2069).
    None,
}

impl QualityOfProtection {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auth, Self::AuthInt, Self::None];
}

const QUALITIES: [(&str, QualityOfProtection); 3] = [
    ("auth", QualityOfProtection::Auth),
    ("auth-int", QualityOfProtection::AuthInt),
    ("none", QualityOfProtection::None),
];

/// How the secret was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// A password.
    UserPass,
    /// An MD5 digest.
    Md5,
    /// Digests of any algorithms, or a password.
    Digest,
}

/// The password, or what stands for it.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthSecret {
    /// In clear.
    Password(Secret),
    /// Digests of `username:realm:password`, one for each algorithm.
    Digests(Vec<(Algorithm, HexDigest)>),
}

#[derive(Clone, Copy)]
enum Kind {
    Ours(AuthType),
    OAuth,
}

const TYPES: [(&str, Kind); 4] = [
    ("userpass", Kind::Ours(AuthType::UserPass)),
    ("md5", Kind::Ours(AuthType::Md5)),
    ("digest", Kind::Ours(AuthType::Digest)),
    ("google_oauth", Kind::OAuth),
];

/// None: the section is skipped or wrong.
pub(crate) fn read(options: &mut Options<'_, '_>, global: &Global) -> Option<Auth> {
    let auth_type = match options.word("auth_type", &TYPES, Kind::Ours(AuthType::UserPass)) {
        Kind::Ours(auth_type) => auth_type,
        Kind::OAuth => {
            let entry = options.last("auth_type")?;
            options.skip(&entry.value_at, "OAuth does not concern the exchange");
            return None;
        }
    };
    let username = options.text("username").unwrap_or_default();
    if username.is_empty() {
        let message = format!("auth {} has no `username`", quote(&options.section.name));
        options
            .context
            .findings
            .warning("auth-username", &options.section.at, message, None);
    }
    let password = options.last("password");
    let digests = digests(options);
    let md5 = md5_cred(options);
    let given = |name: &str| {
        format!(
            "{} of auth_type={} has no `{name}`",
            quote(&options.section.name),
            type_name(auth_type)
        )
    };
    let secret = match auth_type {
        AuthType::UserPass | AuthType::Digest if !digests.is_empty() => {
            AuthSecret::Digests(digests)
        }
        AuthType::UserPass => {
            if password.is_none_or(|entry| entry.value.is_empty()) {
                let message = given("password");
                let help = Some("an empty password is no protection".to_owned());
                options.context.findings.warning(
                    "auth-password",
                    &options.section.at,
                    message,
                    help,
                );
            }
            AuthSecret::Password(Secret::new(
                password.map_or("", |entry| entry.value.as_str()),
            ))
        }
        AuthType::Md5 => match md5 {
            Some(digest) => AuthSecret::Digests(vec![(Algorithm::Md5, digest)]),
            None => {
                if options
                    .last("md5_cred")
                    .is_none_or(|entry| entry.value.is_empty())
                {
                    let message = given("md5_cred");
                    options.context.findings.error_with_help(
                        "auth-secret",
                        &options.section.at,
                        message,
                        "the MD5 digest of username:realm:password in hex",
                    );
                }
                return None;
            }
        },
        AuthType::Digest => match password.filter(|entry| !entry.value.is_empty()) {
            Some(entry) => AuthSecret::Password(Secret::new(entry.value.as_str())),
            None => {
                if options
                    .all("password_digest")
                    .iter()
                    .all(|entry| entry.value.is_empty())
                {
                    let message = given("password_digest");
                    options.context.findings.error_with_help(
                        "auth-secret",
                        &options.section.at,
                        message,
                        "as in `password_digest=SHA-256:HEX`, or a `password`",
                    );
                }
                return None;
            }
        },
    };
    let algorithms_uas = algorithms(
        options,
        "supported_algorithms_uas",
        &global.default_auth_algorithms_uas,
        &secret,
    );
    let algorithms_uac = algorithms(
        options,
        "supported_algorithms_uac",
        &global.default_auth_algorithms_uac,
        &secret,
    );
    let qop = options.words("@qop", &QUALITIES);
    Some(Auth {
        name: options.section.name.clone(),
        at: options.section.at.clone(),
        auth_type,
        username,
        secret,
        realm: options.text("realm"),
        nonce_lifetime: options.seconds("nonce_lifetime", 1..=24 * 60 * 60),
        algorithms_uas,
        algorithms_uac,
        qop_given: qop.is_some(),
        qop: qop.unwrap_or_else(|| QualityOfProtection::ALL.to_vec()),
    })
}

fn type_name(auth_type: AuthType) -> &'static str {
    match auth_type {
        AuthType::UserPass => "userpass",
        AuthType::Md5 => "md5",
        AuthType::Digest => "digest",
    }
}

/// The section's own algorithms, each of which the secret must have; else those of the default that it has; else all it has.
fn algorithms(
    options: &mut Options<'_, '_>,
    name: &'static str,
    default: &[Algorithm],
    secret: &AuthSecret,
) -> Vec<Algorithm> {
    let own = options.algorithms(name);
    let available: Vec<Algorithm> = match secret {
        AuthSecret::Password(_) => return own.unwrap_or_else(|| default.to_vec()),
        AuthSecret::Digests(digests) => digests.iter().map(|(algorithm, _)| *algorithm).collect(),
    };
    match own {
        Some(own) => {
            if let (Some(lacking), Some(entry)) = (
                own.iter().find(|algorithm| !available.contains(algorithm)),
                options.last(name),
            ) {
                let algorithm = lacking.as_str();
                let message = format!("`{name}` has {algorithm}, of which there is no digest");
                let help = format!("add `password_digest={algorithm}:HEX`, or give a `password`");
                options.error("auth-algorithm", entry, message, &help);
            }
            own
        }
        None => {
            let both: Vec<Algorithm> = default
                .iter()
                .copied()
                .filter(|a| available.contains(a))
                .collect();
            if both.is_empty() { available } else { both }
        }
    }
}

/// Hex digits that a digest of the algorithm has.
fn digest_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Md5 | Algorithm::Md5Sess => 32,
        Algorithm::Sha256
        | Algorithm::Sha256Sess
        | Algorithm::Sha512_256
        | Algorithm::Sha512_256Sess => 64,
    }
}

fn hex(text: &str, algorithm: Algorithm) -> Option<HexDigest> {
    if text.len() != digest_length(algorithm) || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    HexDigest::parse(text)
}

fn md5_cred(options: &mut Options<'_, '_>) -> Option<HexDigest> {
    let entry = options
        .last("md5_cred")
        .filter(|entry| !entry.value.is_empty())?;
    let digest = hex(&entry.value, Algorithm::Md5);
    if digest.is_none() {
        // The value is a secret of sorts: it is not repeated.
        options.error(
            "bad-digest",
            entry,
            "`md5_cred` is no digest of 32 hex digits",
            "",
        );
    }
    digest
}

fn digests(options: &mut Options<'_, '_>) -> Vec<(Algorithm, HexDigest)> {
    let mut digests: Vec<(Algorithm, HexDigest)> = Vec::new();
    for entry in options.all("password_digest") {
        for item in value::items(&entry.value) {
            let Some((name, text)) = item.split_once(':') else {
                options.error(
                    "bad-digest",
                    entry,
                    "`password_digest` is no `ALGORITHM:HEX`",
                    "",
                );
                continue;
            };
            let Some(algorithm) = value::algorithm(name.trim()) else {
                let names: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "{} in `password_digest` is no algorithm",
                    quote(name.trim())
                );
                options.error("bad-digest", entry, message, &one_of(name.trim(), &names));
                continue;
            };
            let Some(digest) = hex(text.trim(), algorithm) else {
                let message = format!(
                    "`password_digest` for {} is no digest of {} hex digits",
                    algorithm.as_str(),
                    digest_length(algorithm)
                );
                options.error("bad-digest", entry, message, "");
                continue;
            };
            digests.retain(|(known, _)| *known != algorithm);
            digests.push((algorithm, digest));
        }
    }
    digests
}
