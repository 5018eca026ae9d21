//! A token as it was sent: three parts (RFC 7515 section 7.1), read strictly.

use data_encoding::BASE64URL_NOPAD;

use crate::policy::Claims;
use crate::settings::Algorithm;

/// The longest token that is read, in bytes.
const LONGEST: usize = 16 << 10;

/// A token whose form is right; nothing of it is trusted yet.
pub struct Token<'t> {
    header: Claims,
    pub claims: Claims,
    /// What the signature is over.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads the three parts. Objects with a key that stands twice are refused, at any depth: two readers could
    /// take different ones.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn read(text: &'t str) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("it is longer than 16 KiB");
        }
        const FORM: &str = "no known token for this server, and none in the form of a signed one";
        let (signed, signature) = text.rsplit_once('.').ok_or(FORM)?;
        let (header, claims) = signed.split_once('.').ok_or(FORM)?;
        let signature = part(signature).filter(|signature| !signature.is_empty());
        let header = object(header).ok_or("its header cannot be read")?;
        if header.has("crit") {
            // RFC 7515 section 4.1.11: what is not understood must be refused, and nothing here is
            return Err("its header has `crit`");
        }
        if !is_access_token(&header) {
            return Err("its type is another than JWT or at+jwt");
        }
        Ok(Self {
            header,
            claims: object(claims).ok_or("its claims cannot be read")?,
            signed: signed.as_bytes(),
            signature: signature.ok_or("its signature cannot be read")?,
        })
    }

    /// How it says that it is signed, where that has a name here. `jku`, `jwk`, `x5u` and `x5c` are not looked at:
    /// a token does not choose the key that it is checked with.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::named(self.header.text("alg")?)
    }

    /// Which of the issuer's keys it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.text("kid")
    }
}

/// RFC 8725 section 3.11: a token of another kind (a logout token, say) is no access token. Many issuers write `JWT`
/// or nothing.
fn is_access_token(header: &Claims) -> bool {
    if !header.has("typ") {
        return true;
    }
    let typ = header.text("typ").unwrap_or_default().to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

fn part(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

fn object(text: &str) -> Option<Claims> {
    Claims::read(&String::from_utf8(part(text)?).ok()?)
}
