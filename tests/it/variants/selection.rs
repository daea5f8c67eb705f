//! Records that are annotated: regions, indices and names of contigs.

use noodles::vcf::variant::Record as _;
use std::fs;
use std::path::Path;

use super::example;
use crate::common::{gzip, run, run_ok, stdout};
use noodles::csi::binning_index::Indexer;
use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles::csi::binning_index::index::reference_sequence::index::BinnedIndex;
use noodles::{bcf, bgzf};

#[test]
fn regions_choose_records() {
    let directory = example(6);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa calls.vcf --format tsv";
    let all = stdout(at, command);
    let some = stdout(at, &format!("{command} -r one:100-150 -r three"));
    let inside = |line: &&str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (start, length) = (columns[1].parse::<usize>().unwrap_or(0), columns[3].len());
        columns[0] == "contig"
            || columns[0] == "three"
            || (columns[0] == "one" && start <= 150 && start + length > 100)
    };
    let want: Vec<&str> = all.lines().filter(inside).collect();
    assert!(want.len() > 20);
    assert_eq!(some.lines().collect::<Vec<_>>(), want);
}

#[test]
fn contigs_by_other_names_are_found_and_said() {
    let directory = example(11);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    let want = stdout(at, &format!("{command} calls.vcf"));
    let renamed = text.replace("\none\t", "\nchrOne\t").replace("\ntwo\t", "\nchrTwo\t");
    fs::write(at.join("chr.vcf"), &renamed).unwrap();
    let output = run(at, &format!("{command} chr.vcf"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("contigs have other names in the genome: chrOne is one, chrTwo is two"), "{said}");
    let body = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    let have = String::from_utf8(output.stdout)
        .unwrap()
        .replace("\nchrOne\t", "\none\t")
        .replace("\nchrTwo\t", "\ntwo\t");
    assert!(body(&have) == body(&want));
    // A contig of another length is another contig.
    let long = renamed.replacen("##contig=<ID=one>", "##contig=<ID=chrOne,length=401>", 1);
    fs::write(at.join("long.vcf"), long).unwrap();
    let output = run(at, &format!("{command} long.vcf --force"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("contigs of other lengths in the header: chrOne (401 bases, 400 in the genome)"),
        "{said}"
    );
    assert!(said.contains("on contigs that the genome does not have"), "{said}");
}

/// Writes a .csi beside a BCF.
fn index_bcf(path: &Path) {
    let mut reader = bcf::io::Reader::new(fs::File::open(path).unwrap());
    let header = reader.read_header().unwrap();
    let mut indexer = Indexer::<BinnedIndex>::new(14, 5).unwrap();
    let mut record = bcf::Record::default();
    let mut start = reader.get_ref().virtual_position();
    while reader.read_record(&mut record).unwrap() > 0 {
        let end = reader.get_ref().virtual_position();
        let first = record.variant_start().unwrap().unwrap();
        let last = record.variant_end(&header).unwrap();
        let place = (record.reference_sequence_id().unwrap(), first, last, true);
        indexer.add_record(Some(place), Chunk::new(start, end)).unwrap();
        start = end;
    }
    let index = indexer.build(header.contigs().len());
    let mut path = path.as_os_str().to_owned();
    path.push(".csi");
    noodles::csi::fs::write(path, &index).unwrap();
}

#[test]
fn an_index_is_used_and_changes_nothing() {
    let directory = example(12);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    run_ok(at, &format!("{command} calls.vcf -o in.vcf.gz -o in.bcf"));
    index_bcf(&at.join("in.bcf"));
    let regions =
        ["-r one:100-150", "-r three -r one:1-20", "-r two:7-7", "-r one:399-400 -r one:30-300", "-r four"];
    for file in ["in.vcf.gz", "in.bcf"] {
        fs::copy(at.join(file), at.join(format!("no-index-{file}"))).unwrap();
        for region in regions {
            for form in ["vcf", "tsv"] {
                let of = |file: &str| {
                    let output = run(at, &format!("{command} {file} {region} --force --format {form} -v"));
                    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
                };
                let ((have, said), (want, all)) = (of(file), of(&format!("no-index-{file}")));
                let body = |text: &str| {
                    text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
                };
                assert!(body(&have) == body(&want), "{file} {region}");
                assert!(all.contains("has no index beside it; all of it is read"), "{all}");
                assert!(!said.contains("all of it is read"), "{said}");
            }
        }
    }
    // Damaged ones are not believed.
    let whole = fs::read(at.join("in.vcf.gz.tbi")).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut bgzf::io::Reader::new(&*whole), &mut plain).unwrap();
    let want = stdout(at, &format!("{command} in.vcf.gz -r one:100-150 --format tsv"));
    for cut in [0, 3, 20, plain.len() / 2] {
        let mut damaged = plain.clone();
        damaged.truncate(cut);
        fs::write(at.join("in.vcf.gz.tbi"), gzip(&damaged)).unwrap();
        let output = run(at, &format!("{command} in.vcf.gz -r one:100-150 --format tsv"));
        assert!(String::from_utf8(output.stderr).unwrap().contains("and is not used"), "{cut}");
        assert!(String::from_utf8(output.stdout).unwrap() == want, "{cut}");
    }
}
