//! Names of models, outputs, heads and motifs: one rule for what may stand in tracks, headers, paths and terminals.

use std::borrow::Cow;

/// Most characters of a name; a file name may have 255 bytes.
const LONGEST: usize = 128;

/// Makes a name fit to be written to any output.
///
/// White space, control characters, invisible format characters (zero-width, bidirectional overrides) and `< > " \` become
/// `_`. A name has 128 characters at most, and an empty one becomes `model`. A name that is already fit stays as it is.
pub fn clean(name: &str) -> String {
    let unfit = |c: char| c.is_whitespace() || !is_printable(c) || matches!(c, '<' | '>' | '"' | '\\');
    let fitting = name.trim().chars().take(LONGEST).map(|c| if unfit(c) { '_' } else { c });
    let name: String = fitting.collect();
    if name.is_empty() { "model".into() } else { name }
}

/// Makes a name fit to be a part of a file name: as [`clean`], and without `/`, `:` and leading dots, so that it cannot
/// leave a folder.
pub fn file_part(name: &str) -> String {
    let name = clean(name).replace(['/', ':'], "_");
    let bare = name.trim_start_matches('.');
    format!("{}{bare}", "_".repeat(name.len() - bare.len()))
}

/// Text of a file as it may be shown on a terminal: control and format characters are escaped (`\u{1b}`).
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_printable(c) { c.to_string() } else { c.escape_unicode().to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// True if a character is neither a control nor a format character (Unicode categories Cc, Cf, Zl and Zp).
fn is_printable(c: char) -> bool {
    let format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !format
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_stay_as_they_are() {
        for name in
            ["MA0139.1", "D00328.003", "CTCF(Zf)/CD4+-CTCF-ChIP-Seq/Homer", "score_0", "β-catenin", "a|b"]
        {
            assert_eq!(clean(name), name);
        }
        assert_eq!(clean("  my model\t1 "), "my_model_1");
        assert_eq!(clean("a\u{1b}[31m\0b\u{200b}<i>"), "a__31m_b__i_".replace("__31m", "_[31m"));
        assert_eq!(clean(" \n"), "model");
    }

    #[test]
    fn no_part_of_a_file_name_leaves_its_folder() {
        assert_eq!(file_part("../../etc/passwd"), "___.._etc_passwd");
        assert_eq!(file_part(".."), "__");
        assert_eq!(file_part("MA0139.1"), "MA0139.1");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(printable("plain text"), "plain text");
        assert_eq!(printable("a\u{1b}[2Jb\r\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{202e}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_name_becomes_fit_and_stays_so(name in "\\PC*|[\\x00-\\x7f]*|(\\.|/|a)*") {
            let fit = clean(&name);
            prop_assert_eq!(clean(&fit), fit.clone());
            prop_assert!(!fit.is_empty() && fit.chars().count() <= LONGEST);
            prop_assert!(!fit.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"\\".contains(c)));
            let part = file_part(&name);
            prop_assert!(!part.contains('/') && !part.starts_with('.'));
            prop_assert_eq!(std::path::Path::new(&part).components().count(), 1);
        }
    }
}
