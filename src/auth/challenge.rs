//! The challenges of a WWW-Authenticate or Proxy-Authenticate field (RFC 9110 section 11.6.1): one field may hold
//! several, separated by the same commas as their parameters.

/// One challenge: a scheme and its parameters. Threads: a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    /// Names in lower case; values without quotes.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The challenges of the fields, in their order. What can't be read ends its field.
    pub(super) fn parse_all<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let mut found = Vec::new();
        for field in fields {
            parse_field(field, &mut found);
            if found.len() >= MAX_CHALLENGES {
                found.truncate(MAX_CHALLENGES);
                break;
            }
        }
        found
    }

    /// The value of the first parameter with that name, which is in lower case.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        params.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The parameters of a field such as Authentication-Info, which has no scheme (RFC 7615 section 3).
pub(super) fn parse_params(field: &[u8]) -> Challenge {
    let mut challenge = Challenge::default();
    let mut rest = Cursor(field);
    loop {
        rest.skip_commas();
        let Some((name, value)) = rest.param() else { return challenge };
        challenge.add(name, value);
    }
}

fn parse_field(field: &[u8], found: &mut Vec<Challenge>) {
    let mut rest = Cursor(field);
    while found.len() < MAX_CHALLENGES {
        rest.skip_commas();
        let before = rest.0;
        if let Some((name, value)) = rest.param() {
            // A parameter of the challenge before it.
            match found.last_mut() {
                Some(challenge) => challenge.add(name, value),
                None => return,
            }
            continue;
        }
        rest.0 = before;
        let Some(scheme) = rest.token() else { return };
        let blank = rest.skip_blanks();
        // The name of a parameter whose value can't be read.
        if rest.0.first() == Some(&b'=') {
            return;
        }
        let scheme = scheme.to_ascii_lowercase();
        found.push(Challenge { scheme, params: Vec::new() });
        if blank {
            let before = rest.0;
            // A token68 belongs to schemes that are not answered here (RFC 9110 section 11.2).
            if rest.token68() && matches!(rest.0.first(), None | Some(b',')) {
                continue;
            }
            rest.0 = before;
        }
    }
}

impl Challenge {
    fn add(&mut self, name: String, value: String) {
        if self.params.len() < MAX_PARAMS {
            self.params.push((name, value));
        }
    }
}

/// What is left of a field.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip_commas(&mut self) {
        while let [b',' | b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn skip_blanks(&mut self) -> bool {
        let before = self.0.len();
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.len() < before
    }

    fn token(&mut self) -> Option<&'a str> {
        let size = self.0.iter().take_while(|byte| is_token(**byte)).count();
        let (token, rest) = self.0.split_at(size);
        self.0 = rest;
        std::str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    fn token68(&mut self) -> bool {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        let size = self.0.iter().take_while(is_part).count();
        let end = self.0[size..].iter().take_while(|byte| **byte == b'=').count();
        self.0 = &self.0[size + end..];
        self.skip_blanks();
        size > 0
    }

    /// `name = value`, the value a token or a quoted string.
    fn param(&mut self) -> Option<(String, String)> {
        let name = self.token()?.to_ascii_lowercase();
        self.skip_blanks();
        let [b'=', rest @ ..] = self.0 else { return None };
        self.0 = rest;
        self.skip_blanks();
        let value = match self.0.first() {
            Some(b'"') => self.quoted()?,
            _ => self.token()?.to_owned(),
        };
        self.skip_blanks();
        // What follows a token68 with an equals sign, or a broken value, is no parameter.
        matches!(self.0.first(), None | Some(b',')).then_some((name, value))
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = Vec::new();
        let mut bytes = self.0.iter().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(String::from_utf8_lossy(&value).into_owned());
                }
                b'\\' => value.push(*bytes.next()?.1),
                byte => value.push(*byte),
            }
        }
        None
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// More than any server sends.
const MAX_CHALLENGES: usize = 16;
const MAX_PARAMS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(field: &str) -> Vec<Challenge> {
        Challenge::parse_all([field.as_bytes()].into_iter())
    }

    #[test]
    fn one_field_holds_several_challenges() {
        // The example of RFC 9110 section 11.6.1.
        let found = parse(
            r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#,
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].scheme, "basic");
        assert_eq!(found[0].param("realm"), Some("simple"));
        assert_eq!(found[1].scheme, "newauth");
        assert_eq!(found[1].param("type"), Some("1"));
        assert_eq!(found[1].param("title"), Some("Login to \"apps\""));
    }

    #[test]
    fn schemes_without_parameters_and_with_a_token68_are_passed_over() {
        let found = parse(r#"Negotiate, NTLM TlRMTVNTUAAB==, ,Digest realm = "a,b" , NONCE=x"#);
        let schemes: Vec<_> = found.iter().map(|one| one.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "ntlm", "digest"]);
        assert_eq!(found[2].param("realm"), Some("a,b"));
        assert_eq!(found[2].param("nonce"), Some("x"));
    }

    #[test]
    fn what_can_not_be_read_ends_its_field_and_nothing_else() {
        for field in ["", ",", "=", "\"", "a=b", "\u{e9}"] {
            assert_eq!(parse(field), [], "{field:?}");
        }
        let found =
            Challenge::parse_all([&b"Basic realm=\"open"[..], b"Digest nonce=\"n\""].into_iter());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].param("realm"), None);
        assert_eq!(found[1].param("nonce"), Some("n"));
    }

    #[test]
    fn what_a_server_sends_is_bounded() {
        let many = "a, ".repeat(1000);
        assert_eq!(parse(&many).len(), MAX_CHALLENGES);
        let params: String = (0..1000).map(|n| format!(", p{n}=1")).collect();
        let found = parse(&format!("Digest x=1{params}"));
        assert_eq!(found[0].params.len(), MAX_PARAMS);
    }
}
