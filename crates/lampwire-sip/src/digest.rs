use md5::Md5; use sha2::{Sha256, Sha512_256}; use sha2::Digest;
use subtle::ConstantTimeEq;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm { Md5, Md5Sess, Sha256, Sha256Sess, Sha512_256, Sha512_256Sess }
impl Algorithm {
    pub fn parse(t: &str) -> Option<Self> { [Self::Md5,Self::Md5Sess,Self::Sha256,Self::Sha256Sess,Self::Sha512_256,Self::Sha512_256Sess].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(t)) }
    pub const fn as_str(self) -> &'static str { match self { Self::Md5=>"MD5",Self::Md5Sess=>"MD5-sess",Self::Sha256=>"SHA-256",Self::Sha256Sess=>"SHA-256-sess",Self::Sha512_256=>"SHA-512-256",Self::Sha512_256Sess=>"SHA-512-256-sess" } }
    pub const fn base(self) -> Self { match self { Self::Md5|Self::Md5Sess=>Self::Md5, Self::Sha256|Self::Sha256Sess=>Self::Sha256, Self::Sha512_256|Self::Sha512_256Sess=>Self::Sha512_256 } }
    fn sess(self)->bool{ self!=self.base() }
}
#[derive(Clone, Debug)]
pub struct HexDigest(String);
impl PartialEq for HexDigest { fn eq(&self, o: &Self) -> bool { bool::from(self.0.as_bytes().ct_eq(o.0.as_bytes())) } }
impl Eq for HexDigest {}
impl HexDigest { pub fn as_str(&self)->&str{&self.0} pub fn parse(t:&str)->Option<Self>{ (t.len()<=64 && t.bytes().all(|b|b.is_ascii_hexdigit())).then(||Self(t.to_ascii_lowercase())) } }
fn hash(a: Algorithm, parts: &[&[u8]]) -> HexDigest {
    fn run<D: Digest>(parts:&[&[u8]])->String{ let mut d=D::new(); for p in parts{d.update(p);} d.finalize().iter().map(|b|format!("{b:02x}")).collect() }
    HexDigest(match a.base(){ Algorithm::Md5=>run::<Md5>(parts), Algorithm::Sha256=>run::<Sha256>(parts), _=>run::<Sha512_256>(parts) })
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop { Auth, AuthInt }
pub fn ha1(a: Algorithm, u:&str, r:&str, p:&str)->HexDigest{ hash(a,&[u.as_bytes(),b":",r.as_bytes(),b":",p.as_bytes()]) }
pub struct Request<'a> { pub method: &'a str, pub uri: &'a str, pub nonce: &'a str, pub body: &'a [u8], pub qop: Option<(Qop, u32, &'a str)>, pub cnonce_for_sess: Option<&'a str> }
pub fn response(a: Algorithm, ha1: &HexDigest, r: &Request<'_>) -> HexDigest {
    let h1 = if a.sess() { hash(a,&[ha1.as_str().as_bytes(),b":",r.nonce.as_bytes(),b":",r.cnonce_for_sess.unwrap_or("").as_bytes()]) } else { ha1.clone() };
    let h2 = match r.qop { Some((Qop::AuthInt,..)) => { let hb=hash(a,&[r.body]); hash(a,&[r.method.as_bytes(),b":",r.uri.as_bytes(),b":",hb.as_str().as_bytes()]) } _ => hash(a,&[r.method.as_bytes(),b":",r.uri.as_bytes()]) };
    match r.qop { Some((q,nc,cn)) => hash(a,&[h1.as_str().as_bytes(),b":",r.nonce.as_bytes(),b":",format!("{nc:08x}").as_bytes(),b":",cn.as_bytes(),b":",if q==Qop::Auth{b"auth"}else{b"auth-int"},b":",h2.as_str().as_bytes()]),
      None => hash(a,&[h1.as_str().as_bytes(),b":",r.nonce.as_bytes(),b":",h2.as_str().as_bytes()]) }
}
impl Qop { pub fn parse(w:&str)->Option<Self>{ if w.eq_ignore_ascii_case("auth"){Some(Self::Auth)}else if w.eq_ignore_ascii_case("auth-int"){Some(Self::AuthInt)}else{None} } pub const fn as_str(self)->&'static str{ match self{Self::Auth=>"auth",Self::AuthInt=>"auth-int"} } }
