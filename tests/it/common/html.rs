//! Looking into web pages.

/// Checks that elements are closed in order, and returns their names. What stands in scripts is not looked at.
pub(crate) fn elements(html: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let body = without_scripts(&html[html.find("<body>").expect("a body")..]);
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("every < has its >");
        assert!(!text.contains('>'), "a bare > after <{tag}>");
        if let Some(name) = tag.strip_prefix('/') {
            if name != "html" {
                assert_eq!(open.pop().as_deref(), Some(name), "<{tag}>");
            }
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default().to_owned();
        seen.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

fn without_scripts(html: &str) -> String {
    let mut pieces = html.split("<script");
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        kept += piece.split_once("</script>").expect("a script ends").1;
    }
    kept
}
