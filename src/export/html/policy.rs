//! What a browser may do for a page: nothing but its own style sheet and script, known by their hashes.

use crate::hash::sha256;

/// The content security policy of a page with this style sheet and this script, which may be empty.
pub(super) fn content_security(style: &str, script: &str) -> String {
    let script = match script {
        "" => String::new(),
        script => format!("script-src '{}'; ", hash(script)),
    };
    format!("default-src 'none'; style-src '{}'; {script}base-uri 'none'; form-action 'none'", hash(style))
}

/// The text's SHA-256 as a policy has it.
pub(super) fn hash(text: &str) -> String {
    format!("sha256-{}", base64(&sha256(text)))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| match at <= group.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]),
            false => '=',
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // The vectors of RFC 4648, section 10.
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
