//! Digests, and bytes as text.

use super::support::{one, type_of};

const TEXT: &str = r#"{"s":"Hello, Wörld","t":"ff"}"#;

fn check(table: &[(&str, &str)]) {
    for (text, wanted) in table {
        assert_eq!(one(text, TEXT), *wanted, "{text}");
    }
}

#[test]
fn digests_and_encodings() {
    // Digests as `md5sum`, `sha256sum` and `b3sum` give them.
    check(&[
        ("md5('foo')", "'acbd18db4cc2f85cedef654fccc4a4d8'"),
        ("sha224('foo')", "0808f64e60d58979fcb676c96ec938270dea42445aeefcd3a4e6f8db"),
        ("encode(sha256('foo'), 'hex')", "'2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'"),
        ("digest('foo', 'sha256') = sha256('foo')", "true"),
        ("encode(digest('foo', 'blake3'), 'hex')", "'04e0bb39f30b1a3feb89f536c93be15055482df748674b00d26e5a75777702e9'"),
        ("encode(s, 'hex')", "'48656c6c6f2c2057c3b6726c64'"),
        ("encode('f', 'base64') || encode('f', 'base64pad')", "'ZgZg=='"),
        ("cast(decode(encode(s, 'base64'), 'base64') as string) = s", "true"),
        ("decode('4A4b', 'hex')", "4a4b"),
        ("md5(cast(null as string))", "null"),
        ("cast(decode(t, 'hex') as string)", "!cannot cast FF to string"),
    ]);
    assert_eq!((type_of("md5(s)"), type_of("sha512(s)"), type_of("decode(s, 'hex')")), ("string".into(), "bytes".into(), "bytes".into()));
    assert!(one("decode(s, 'hex')", TEXT).starts_with("!Failed to decode"), "{}", one("decode(s, 'hex')", TEXT));
}
