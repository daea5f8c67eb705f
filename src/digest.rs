//! Digests as they are written: hexadecimal digits, in lower case.

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
