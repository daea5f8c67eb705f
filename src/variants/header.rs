//! The header of an annotated VCF.

use std::fmt::Write;

use crate::engine::planned::ModelOutput;
use crate::seq::contig::Contig;
use crate::track::provenance::Provenance;

/// The INFO fields of a target, in the order in which they are written.
pub(crate) struct Fields {
    /// `BS_NAME`, before the underscore and the field's own name.
    pub(crate) prefix: String,
}

/// A field of a target. Each has a value for each alternative allele: that of the reference depends on which windows the
/// allele changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Reference,
    ReferenceStrand,
    ReferenceOffset,
    Alternative,
    AlternativeStrand,
    AlternativeOffset,
    Difference,
    Effect,
}

impl Field {
    /// In the order in which they are written.
    pub(crate) const ALL: [Field; 8] = [
        Field::Reference,
        Field::ReferenceStrand,
        Field::ReferenceOffset,
        Field::Alternative,
        Field::AlternativeStrand,
        Field::AlternativeOffset,
        Field::Difference,
        Field::Effect,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Field::Reference => "REF",
            Field::ReferenceStrand => "REF_STRAND",
            Field::ReferenceOffset => "REF_OFFSET",
            Field::Alternative => "ALT",
            Field::AlternativeStrand => "ALT_STRAND",
            Field::AlternativeOffset => "ALT_OFFSET",
            Field::Difference => "DIFF",
            Field::Effect => "EFFECT",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Field::ReferenceStrand | Field::AlternativeStrand => "String",
            Field::ReferenceOffset | Field::AlternativeOffset => "Integer",
            Field::Reference | Field::Alternative | Field::Difference | Field::Effect => "Float",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Field::Reference => "best score of the reference windows that the allele changes",
            Field::Alternative => "best score of the changed windows on the alternative haplotype",
            Field::ReferenceStrand | Field::AlternativeStrand => {
                "strand of that window, . where the model reads both as one"
            }
            Field::ReferenceOffset => "start of that window, in bases from POS",
            Field::AlternativeOffset => {
                "start of that window, in bases from POS on the alternative haplotype"
            }
            Field::Difference => {
                "best alternative score less best reference score, 0 where no window changes"
            }
            Field::Effect => "DeepBind's effect score: DIFF times max(0, ALT, REF)",
        }
    }
}

impl Fields {
    /// The fields of each target; letters that VCF does not allow in them become `_`, and where two become the same a number
    /// follows.
    pub(crate) fn from_targets(targets: &[ModelOutput]) -> Vec<Fields> {
        let mut all: Vec<Fields> = Vec::new();
        for target in targets {
            let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
            let plain: String = format!("BS_{}", target.name).chars().map(allowed).collect();
            let numbered = (2..).map(|number| format!("{plain}_{number}"));
            let prefix = std::iter::once(plain.clone())
                .chain(numbered)
                .find(|prefix| all.iter().all(|fields| fields.prefix != *prefix))
                .expect("there are more numbers than targets");
            all.push(Fields { prefix });
        }
        all
    }

    /// True if a key of INFO is one of these fields.
    pub(crate) fn have(&self, key: &[u8]) -> bool {
        let own = key.strip_prefix(self.prefix.as_bytes()).and_then(|rest| rest.strip_prefix(b"_"));
        own.is_some_and(|own| Field::ALL.iter().any(|field| field.name().as_bytes() == own))
    }
}

/// The key that a line of the header defines as a field of INFO.
fn defined(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"##INFO=<ID=")?;
    Some(&rest[..rest.iter().position(|byte| b",>".contains(byte))?])
}

/// An annotated header, and whether the old one defined some of the fields already.
pub(crate) struct Annotated {
    pub(crate) text: Vec<u8>,
    pub(crate) again: bool,
}

/// Puts the definitions of the targets' fields before the last line of `header`, in place of those that it has of them;
/// and the contigs of the genome, where it has none.
pub(crate) fn annotate(
    header: &[u8],
    (targets, fields): (&[ModelOutput], &[Fields]),
    contigs: &[std::sync::Arc<Contig>],
    provenance: &Provenance,
) -> Annotated {
    let (mut text, mut again) = (Vec::with_capacity(header.len() + 4096), false);
    let lines: Vec<&[u8]> = header.split_inclusive(|&byte| byte == b'\n').collect();
    let end: &[u8] = if header.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let mut have_contigs = false;
    for line in &lines[..lines.len().saturating_sub(1)] {
        have_contigs |= line.starts_with(b"##contig=");
        let own = defined(line).is_some_and(|key| fields.iter().any(|fields| fields.have(key)));
        again |= own;
        if !own {
            text.extend_from_slice(line);
        }
    }
    let mut put = |line: &str| {
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(end);
    };
    if !have_contigs {
        for contig in contigs {
            put(&format!("##contig=<ID={},length={}>", contig.name, contig.length.unwrap_or(0)));
        }
    }
    put(&format!("##bindscanVersion={}", env!("CARGO_PKG_VERSION")));
    put(&format!("##bindscanCommand={}", provenance.command));
    for (name, digest) in &provenance.models {
        put(&format!("##bindscanModel={name} sha256:{digest}"));
    }
    for (target, Fields { prefix }) in targets.iter().zip(fields) {
        for field in Field::ALL {
            let (name, kind, meaning) = (field.name(), field.kind(), field.meaning());
            let mut line = format!("##INFO=<ID={prefix}_{name},Number=A,Type={kind},Description=\"");
            let _ = write!(line, "{} by bindscan: {meaning}\">", target.name.replace(['"', '\\'], "_"));
            put(&line);
        }
    }
    text.extend_from_slice(lines.last().copied().unwrap_or_default());
    Annotated { text, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_defined_once() {
        let target = |name: &str| ModelOutput {
            name: name.into(),
            scanner: 0,
            output: 0,
            window: 10,
            shortest: 1,
            symmetric: false,
        };
        let targets = [target("MA0139.1 \"x\""), target("a-b"), target("a+b")];
        let fields = Fields::from_targets(&targets);
        let prefixes: Vec<&str> = fields.iter().map(|fields| &*fields.prefix).collect();
        assert_eq!(prefixes, ["BS_MA0139.1__x_", "BS_a_b", "BS_a_b_2"]);
        let old = b"##fileformat=VCFv4.2\n##INFO=<ID=BS_a,Number=1>\n#CHROM\tPOS\n";
        let contigs = [std::sync::Arc::new(Contig { id: 0, name: "c".into(), length: Some(7) })];
        let provenance = Provenance::default();
        let once = annotate(old, (&targets, &fields), &contigs, &provenance);
        assert!(!once.again);
        let text = String::from_utf8(once.text.clone()).unwrap();
        assert_eq!(text.matches("##INFO=<ID=BS_a_b_REF,").count(), 1);
        assert!(text.contains("##contig=<ID=c,length=7>\n") && text.ends_with("\n#CHROM\tPOS\n"));
        let twice = annotate(&once.text, (&targets, &fields), &contigs, &provenance);
        assert!(twice.again);
        let definitions = |text: &[u8]| text.windows(6).filter(|word| word == b"##INFO").count();
        assert_eq!(definitions(&twice.text), definitions(&once.text));
        assert_eq!(String::from_utf8(twice.text).unwrap().matches("##contig").count(), 1);
    }
}
