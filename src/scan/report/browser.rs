//! The view along the genome: igv.js, which is not part of the page.
//!
//! The page stands for itself. Opened from a server on which igv.js, the genome and the tracks can be reached, it loads
//! them and shows the strongest site; otherwise one line says what it takes.

use std::io;
use std::path::{self, Component, Path, PathBuf};

use serde_json::{Value, json};

use crate::report::svg::escape;
use crate::track::{Format, ScoreFormat, SiteFormat};

/// Default address of igv.js: beside the page.
pub const IGV: &str = "igv.min.js";

/// Contents of the view. Addresses are relative to the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Browser {
    /// Address of igv.js.
    pub igv: String,
    /// The genome's name and address; `None` if it was read from a pipe, or no address leads to it.
    pub genome: Option<(String, String)>,
    /// Tracks of this scan.
    pub tracks: Vec<BrowserTrack>,
}

/// A track of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserTrack {
    /// Name.
    pub name: String,
    /// Address.
    pub url: String,
    /// Format.
    pub format: Format,
}

impl BrowserTrack {
    /// The track as igv.js is told; `None` if it cannot read the format.
    fn config(&self) -> Option<Value> {
        let (kind, format) = match self.format {
            Format::Sites(SiteFormat::Bed) => ("annotation", "bed"),
            Format::Sites(SiteFormat::NarrowPeak) => ("annotation", "narrowpeak"),
            Format::Sites(SiteFormat::Gff3) => ("annotation", "gff3"),
            Format::Sites(SiteFormat::BigBed) => ("annotation", "bigbed"),
            Format::Sites(SiteFormat::Tsv | SiteFormat::Records | SiteFormat::Fimo | SiteFormat::Homer)
            | Format::Reads(_) => return None,
            Format::Scores(ScoreFormat::BedGraph) => ("wig", "bedgraph"),
            Format::Scores(ScoreFormat::BigWig) => ("wig", "bigwig"),
        };
        Some(json!({"name": self.name, "url": self.url, "type": kind, "format": format}))
    }
}

impl Browser {
    /// The view, which opens at `locus`.
    pub(super) fn to_html(&self, locus: &Option<String>) -> String {
        let Some((name, url)) = &self.genome else {
            return "<p class=\"soft screen\">There is no view along the genome: it came from a pipe, or no address leads from \
                    this page to its file.</p>"
                .into();
        };
        let config = json!({
            "igv": self.igv,
            "genome": {"name": name, "url": url},
            "tracks": self.tracks.iter().filter_map(BrowserTrack::config).collect::<Vec<_>>(),
            "locus": locus,
        });
        // Within a script element only `<` could end it.
        let config = config.to_string().replace('<', "\\u003c");
        format!(
            "<div id=\"browser\"></div>\n<p class=\"soft screen\" id=\"browser-note\">Open this page from a web server to \
             see the sites along the genome, with igv.js at {} (npm package igv, dist/igv.min.js) and the genome at {}.</p>\n\
             <script type=\"application/json\" id=\"browser-config\">{config}</script>\n<script>\n{}</script>",
            escape(&self.igv),
            escape(url),
            include_str!("browser.js")
        )
    }
}

/// A window of `window` bases at `start` (0-based) as genome browsers name it, with `around` bases on either side.
pub(super) fn locus(contig: &str, start: u64, window: u64, around: u64) -> String {
    format!("{contig}:{}-{}", start.saturating_sub(around) + 1, start + window + around)
}

/// The path from the root, without `.` and `..`. Links are followed only where `..` leads out of them, so that the names are
/// those that a server shows.
///
/// # Errors
/// A working directory or a link that cannot be read.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let mut absolute = PathBuf::new();
    for component in path::absolute(path)?.components() {
        match component {
            Component::ParentDir => {
                absolute = absolute.canonicalize()?;
                absolute.pop();
            }
            Component::CurDir => {}
            component => absolute.push(component),
        }
    }
    Ok(absolute)
}

/// The address of the file `to` for a page in the folder `from`, both of them absolute; `None` if no way leads there.
///
/// ```
/// use std::path::Path;
/// use bindscan::scan::report::browser::relative_url;
///
/// let url = relative_url(Path::new("/lab/scans"), Path::new("/lab/genomes/my yeast.fa"));
/// assert_eq!(url.as_deref(), Some("../genomes/my%20yeast.fa"));
/// ```
pub fn relative_url(from: &Path, to: &Path) -> Option<String> {
    let names = |path: &Path| -> Option<Vec<String>> {
        let name = |component: Component<'_>| match component {
            Component::Normal(name) => Some(name.to_str()?.to_owned()),
            Component::RootDir => Some(String::new()),
            Component::Prefix(prefix) => Some(prefix.as_os_str().to_str()?.to_owned()),
            Component::CurDir | Component::ParentDir => None,
        };
        path.components().map(name).collect()
    };
    let (from, to) = (names(from)?, names(to)?);
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if same == 0 {
        return None;
    }
    let up = std::iter::repeat_n("..".to_owned(), from.len() - same);
    let down = to[same..].iter().map(|name| encoded(name));
    Some(up.chain(down).collect::<Vec<_>>().join("/"))
}

/// A name as it may stand in an address (RFC 3986, section 2.3).
fn encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_from_the_page_to_the_file() {
        let url = |from: &str, to: &str| relative_url(Path::new(from), Path::new(to));
        assert_eq!(url("/a/b", "/a/b/c.fa").as_deref(), Some("c.fa"));
        assert_eq!(url("/a/b", "/x/y.bed").as_deref(), Some("../../x/y.bed"));
        assert_eq!(url("/", "/100%.bed").as_deref(), Some("100%25.bed"));
        assert_eq!(url("a", "/a/b"), None);
    }

    #[cfg(unix)]
    #[test]
    fn paths_lead_where_the_system_takes_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("far/away")).unwrap();
        std::os::unix::fs::symlink(root.join("far/away"), root.join("link")).unwrap();
        assert_eq!(absolute(&root.join("./x/../link/a.fa")).ok(), None, "there is no x");
        assert_eq!(absolute(&root.join("far/../link/a.fa")).unwrap(), root.join("link/a.fa"));
        assert_eq!(absolute(&root.join("link/../a.fa")).unwrap(), root.join("far/a.fa"));
    }

    #[test]
    fn nothing_ends_the_script_early() {
        let browser = Browser {
            igv: "igv.min.js".into(),
            genome: Some(("</script><b>".into(), "a.fa".into())),
            tracks: Vec::new(),
        };
        assert_eq!(browser.to_html(&None).matches("</script>").count(), 2);
    }

    #[test]
    fn a_locus_is_1_based_and_does_not_start_before_the_contig() {
        assert_eq!(locus("chr1", 99, 10, 0), "chr1:100-109");
        assert_eq!(locus("chr1", 99, 10, 150), "chr1:1-259");
    }
}
