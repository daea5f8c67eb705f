//! Calls that are refused.

use std::fs;

use super::{COLUMNS, HEADER, example};
use crate::common::{error_line, gzip, run, run_ok, stdout};
use noodles::bgzf;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

#[test]
fn what_is_wrong_is_said_on_one_line() {
    let directory = example(9);
    let at = directory.path();
    let whole = |records: &str| format!("{HEADER}{COLUMNS}\n{records}");
    let cases = [
        (String::new(), "is empty; a VCF or BCF is expected"),
        ("chr1\t1\t5\n".to_owned(), "line 1: this is neither VCF nor BCF"),
        ("##fileformat=VCFv4.2\n##x=y\n".to_owned(), "has no #CHROM line"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF".to_owned(), "line 2: the #CHROM line does not begin"),
        ("##fileformat=VCFv4.2\none\t1\t.\tA\tC\t.\t.\t.\n".to_owned(), "line 2: a line of the header"),
        (
            whole("one\t1\t.\tA\n"),
            "line 10: a record of VCF has 8 columns or more, separated by tabs; this line has 4",
        ),
        (whole("one\tx\t.\tA\tC\t.\t.\t.\n"), "line 10: POS 'x' is not a position"),
        (whole("\none\t1\t.\tA-\tC\t.\t.\t.\n"), "line 11: REF 'A-' is not a sequence"),
        (whole("one\t1\t.\tN\tC?\t.\t.\t.\n"), "line 10: the ALT allele 'C?' is neither"),
        (whole("one\t1\t.\tN\tC\t.\t.\t.\n").lines().skip(9).collect(), "line 1: this VCF has no header"),
    ];
    for (text, message) in cases {
        fs::write(at.join("wrong.vcf"), &text).unwrap();
        let error = error_line(at, "variants -m padded.onnx --genome genome.fa wrong.vcf -o out.vcf");
        assert!(error.contains("wrong.vcf") && error.contains(message), "{message} is not in {error}");
        assert!(!at.join("out.vcf").exists());
    }
    let strict = [
        ("one\t399\t.\tNNN\tC\t.\t.\t.\n", "line 10: one:401 is past the end of the contig"),
        (
            "lost\t3\t.\tN\tC\t.\t.\t.\n",
            "line 10: there is no contig lost in the genome; it has one, two, three and 1 more",
        ),
    ];
    for (record, message) in strict {
        fs::write(at.join("wrong.vcf"), whole(record)).unwrap();
        let command = "variants -m padded.onnx --genome genome.fa wrong.vcf";
        assert!(run(at, &format!("{command} --force")).status.success());
        let error = error_line(at, &format!("{command} -o out.vcf --strict"));
        assert!(error.contains(message), "{message} is not in {error}");
    }
    fs::write(
        at.join("cut.vcf.gz"),
        &gzip(whole(&"one\t1\t.\tN\tC\t.\t.\t.\n".repeat(3000)).as_bytes())[..300],
    )
    .unwrap();
    fs::write(at.join("undefined.vcf"), whole("one\t1\t.\tN\tC\t.\t.\tNOT=1")).unwrap();
    let others = [
        ("calls.vcf -r five", "there is no contig five"),
        ("calls.vcf -o out.bcf.gz", "BCF is compressed by itself"),
        ("undefined.vcf -o out.bcf", "the record at one:1 makes no record of BCF"),
        ("calls.vcf -o out.bed", "unknown output extension"),
        ("calls.vcf -o out.vcf -o out.vcf", "two outputs"),
        ("cut.vcf.gz", "cut.vcf.gz: cannot decompress"),
        ("none.vcf", "none.vcf: cannot open"),
        ("calls.vcf --window 0", ""),
    ];
    for (words, message) in &others[..7] {
        let output = run(at, &format!("variants -m padded.onnx --genome genome.fa {words}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.lines().count() == 1 && said.contains(message), "{message} is not in {said}");
    }
    let error = error_line(at, "variants -m padded.onnx --genome - calls.vcf -o out.vcf");
    assert!(error.contains("the genome is read in any order"), "{error}");
}

#[test]
fn calls_of_another_genome_are_refused() {
    let directory = example(10);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap().to_uppercase();
    let base = genome.as_bytes()[genome.find('\n').unwrap() + 1] as char;
    let other = if base == 'A' { 'C' } else { 'A' };
    let fits = format!("one\t1\t.\t{base}\t{other}\t.\t.\t.\n");
    let swapped = format!("one\t1\t.\t{other}\t{base}\t.\t.\t.\n");
    let lost = "lost\t1\t.\tA\tC\t.\t.\t.\n".to_owned();
    let write = |records: &[&String]| {
        let records: String = records.iter().map(|record| record.as_str()).collect();
        fs::write(at.join("c.vcf"), format!("{HEADER}{COLUMNS}\n{records}")).unwrap();
    };
    let command = "variants -m padded.onnx --genome genome.fa c.vcf -o out.vcf";
    for (records, message) in [
        (
            vec![&swapped],
            "none of 1 records is scored (1 whose REF differs from the genome, 1 of them with the genome's",
        ),
        (vec![&fits, &lost, &swapped], "2 of 3 records do not fit the genome (1 on contigs"),
        (vec![&lost], "none of 1 records is scored"),
    ] {
        write(&records);
        let output = run(at, command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message) && said.contains("--force"), "{said}");
        assert!(!at.join("out.vcf").exists());
        run_ok(at, &format!("{command} --force"));
        fs::remove_file(at.join("out.vcf")).unwrap();
    }
    write(&[&fits, &swapped]);
    let output = run(at, command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("are REF and ALT swapped?"), "{said}");
    write(&[]);
    run_ok(at, command);
    // Every allele has a row, with the reason if it has no score.
    write(&[&fits, &swapped, &lost, &"one\t1\t.\tN\t*,<DEL>,N[two:7[\t.\t.\t.\n".to_owned()]);
    let table = stdout(at, "variants -m padded.onnx --genome genome.fa c.vcf --format tsv --force");
    let statuses: Vec<&str> = table.lines().skip(1).map(|line| line.rsplit('\t').next().unwrap()).collect();
    let want = ["scored", "ref_alt_swapped", "unknown_contig", "spanning_deletion", "symbolic", "breakend"];
    assert_eq!(statuses, want);
}

#[test]
fn nothing_that_a_damaged_file_says_is_believed() {
    let directory = example(13);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    run_ok(at, &format!("{command} calls.vcf -o in.bcf"));
    let mut plain = Vec::new();
    let file = fs::read(at.join("in.bcf")).unwrap();
    std::io::Read::read_to_end(&mut bgzf::io::Reader::new(&*file), &mut plain).unwrap();
    let header = 9 + u32::from_le_bytes(plain[5..9].try_into().unwrap()) as usize;
    let mut random = Random::seed_from_u64(4);
    for round in 0..40 {
        let mut damaged = plain.clone();
        match round {
            // Lengths of a record, and of a header.
            0 => damaged[header + 3] = 0xff,
            1 => damaged[header + 7] = 0xff,
            2 => damaged[8] = 0xff,
            _ => {
                let place = random.random_range(header..plain.len().min(header + 400));
                damaged[place] = random.random();
            }
        }
        fs::write(at.join("damaged.bcf"), gzip(&damaged)).unwrap();
        let output = run(at, &format!("{command} damaged.bcf --force --quiet -o out.vcf"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked") && !said.contains("bug"), "{round}: {said}");
        assert!(
            output.status.success() || said.lines().last().unwrap().contains("damaged.bcf"),
            "{round}: {said}"
        );
        assert!(round > 2 || !output.status.success(), "{round}");
    }
    let far = format!(
        "{HEADER}{COLUMNS}\none\t1\t.\tN\tC\t.\t.\tEND=18446744073709551615\n\
                       one\t18446744073709551615\t.\tA\tC\t.\t.\t.\n"
    );
    fs::write(at.join("far.vcf"), far).unwrap();
    run_ok(at, &format!("{command} far.vcf --force -o far.vcf.gz -o far.tsv.gz"));
    assert!(at.join("far.vcf.gz").exists());
}
