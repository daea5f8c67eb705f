//! Annotated records: the same for any input route, and whole.

use noodles::vcf::variant::io::Write as _;
use std::fs;

use super::{COLUMNS, HEADER, example};
use crate::common::{error_line, gzip, run, run_ok, stdout, stdout_of_input};
use noodles::{bcf, bgzf, vcf};

#[test]
fn the_same_bytes_for_any_threads_and_input_route() {
    let directory = example(3);
    let at = directory.path();
    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    // More than one batch.
    let (header, records) = text.split_at(text.find("one\t").unwrap());
    let contig = |name: &str| {
        records.lines().filter(|l| l.starts_with(name)).map(|l| l.to_owned() + "\n").collect::<String>()
    };
    let many = ["one\t", "two\t"].map(|name| contig(name).repeat(20)).concat();
    let text = format!("{header}{many}");
    fs::write(at.join("calls.vcf"), &text).unwrap();
    fs::write(at.join("calls.vcf.gz"), gzip(text.as_bytes())).unwrap();
    let command = "variants -m padded.onnx -m two.onnx --genome genome.fa";
    let body = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    let want = stdout(at, &format!("{command} calls.vcf -t 1"));
    assert!(want.lines().count() > 2_000);
    for threads in [2, 5] {
        assert!(stdout(at, &format!("{command} calls.vcf -t {threads}")) == want, "{threads} threads");
    }
    let want = body(&want);
    for words in [format!("{command} calls.vcf.gz"), format!("{command}.gz calls.vcf")] {
        assert!(body(&stdout(at, &words)) == want, "{words}");
    }
    assert!(body(&stdout_of_input(at, &format!("{command} -"), text.as_bytes())) == want);

    let mut reader = vcf::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let mut bytes = Vec::new();
    let mut writer = bcf::io::Writer::new(&mut bytes);
    writer.write_variant_header(&header).unwrap();
    reader
        .record_bufs(&header)
        .for_each(|record| writer.write_variant_record(&header, &record.unwrap()).unwrap());
    writer.try_finish().unwrap();
    drop(writer);
    fs::write(at.join("calls.bcf"), &bytes).unwrap();
    let records =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    for threads in [1, 3] {
        let annotated = stdout(at, &format!("{command} calls.bcf -t {threads}"));
        assert!(records(&annotated) == records(&want), "bcf");
        assert!(!annotated.contains("IDX="));
    }
    // BCF holds what VCF says, in the same blocks for any threads.
    let from_bcf = |words: &str| {
        run_ok(at, &format!("{command} {words} -o out.bcf --quiet"));
        fs::read(at.join("out.bcf")).unwrap()
    };
    let one = from_bcf("calls.vcf -t 1");
    for words in ["calls.vcf -t 5", "calls.vcf --format bcf"] {
        assert!(from_bcf(words) == one, "{words}");
    }
    let missing = text.replace("A\t30\tPASS\tDP=4\t", "A\t.\t.\tDP=.\t");
    assert_ne!(missing, text);
    fs::write(at.join("missing.vcf"), missing).unwrap();
    let with_missing = stdout(at, &format!("{command} missing.vcf"));
    for (bytes, want) in
        [(one, &want), (from_bcf("calls.bcf -t 2"), &want), (from_bcf("missing.vcf"), &with_missing)]
    {
        let mut have = bcf::io::Reader::new(&*bytes);
        let known = have.read_header().unwrap();
        let mut said = vcf::io::Reader::new(want.as_bytes());
        let header = said.read_header().unwrap();
        assert_eq!(known.infos(), header.infos());
        // As text: a value that is missing is read as none from one, and as a list of none from the other.
        let text = |records: &mut dyn Iterator<Item = std::io::Result<vcf::variant::RecordBuf>>| {
            let mut writer = vcf::io::Writer::new(Vec::new());
            records.for_each(|record| writer.write_variant_record(&header, &record.unwrap()).unwrap());
            writer.into_inner()
        };
        let (have, said) = (text(&mut have.record_bufs(&known)), text(&mut said.record_bufs(&header)));
        assert!(have == said);
    }
    fs::write(at.join("cut.bcf"), &bytes[..bytes.len() / 2]).unwrap();
    let error = error_line(at, &format!("{command} cut.bcf -o out.vcf"));
    assert!(error.contains("cut.bcf: record ") && error.contains("cut short"), "{error}");
    assert!(!at.join("out.vcf").exists());
}

/// Texts, genotypes of any ploidy and phase, and what is missing are the same after a way through BCF.
#[test]
fn bcf_keeps_the_text_of_vcf() {
    let directory = example(4);
    let at = directory.path();
    let one = String::from_utf8(fs::read(at.join("genome.fa")).unwrap()).unwrap().to_uppercase();
    let base = char::from(one.lines().nth(1).unwrap().as_bytes()[29]);
    let other = if base == 'A' { 'C' } else { 'A' };
    let rows = [
        ("TX=a%3Bb%2Cc%3Dd%25", "GT:FS", "0/1:p%3Aq", "0/1:."),
        ("TX=x", "GT:N:F", "0/1/1:1,2:0.5", "0|1:3:."),
        ("TX=x", "GT", "1|.", ".|."),
        ("TX=x", "GT:N", ".", "./.:300,.,-70000"),
        ("TX=x", "FS:F", ".", "."),
        ("TS=a%3Bb,c%3Dd", "FL", "p%3Aq,r", "x"),
        ("TX=x", "GT", "0", "1/1/0/1"),
    ];
    let line = |(info, format, a, b): (&str, &str, &str, &str)| {
        format!("one\t30\t.\t{base}\t{other}\t.\tPASS\t{info}\t{format}\t{a}\t{b}\n")
    };
    let header = "##fileformat=VCFv4.3\n##contig=<ID=one>\n##FILTER=<ID=PASS,Description=\"p\">\n\
        ##INFO=<ID=TX,Number=1,Type=String,Description=\"t\">\n\
        ##INFO=<ID=TS,Number=.,Type=String,Description=\"t\">\n\
        ##FORMAT=<ID=FL,Number=.,Type=String,Description=\"t\">\n\
        ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"g\">\n\
        ##FORMAT=<ID=FS,Number=1,Type=String,Description=\"t\">\n\
        ##FORMAT=<ID=N,Number=.,Type=Integer,Description=\"n\">\n\
        ##FORMAT=<ID=F,Number=1,Type=Float,Description=\"f\">\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\n";
    fs::write(at.join("text.vcf"), header.to_owned() + &rows.map(line).concat()).unwrap();
    let command = "variants -m padded.onnx --genome genome.fa";
    run_ok(at, &format!("{command} text.vcf -o text.bcf --quiet"));
    let again = stdout(at, &format!("{command} text.bcf --force"));
    let columns = again.lines().filter(|line| !line.starts_with('#'));
    let have: Vec<(String, String)> = columns
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (columns[7].split(";BS_").next().unwrap().to_owned(), columns[8..].join("\t"))
        })
        .collect();
    // A sample's missing fields are written out.
    let whole = |format: &str, sample: &str| {
        let fields = format.split(':').count();
        let given = sample.split(':').map(str::to_owned);
        given.chain(std::iter::repeat(".".to_owned())).take(fields).collect::<Vec<_>>().join(":")
    };
    let trimmed = |samples: &str| {
        let (format, rest) = samples.split_once('\t').unwrap();
        let all = rest.split('\t').map(|sample| whole(format, sample));
        format!("{format}\t{}", all.collect::<Vec<_>>().join("\t"))
    };
    for ((info, samples), (own_info, format, a, b)) in have.iter().zip(rows) {
        assert_eq!((info.as_str(), trimmed(samples)), (own_info, trimmed(&format!("{format}\t{a}\t{b}"))));
    }
    assert_eq!(have.len(), rows.len());
}

#[test]
fn everything_else_is_passed_on_as_it_is() {
    let directory = example(4);
    let at = directory.path();
    let one = String::from_utf8(fs::read(at.join("genome.fa")).unwrap()).unwrap().to_uppercase();
    let base = one.lines().nth(1).unwrap().as_bytes()[29];
    let (base, other) = (char::from(base), if base == b'A' { 'C' } else { 'A' });
    let odd = [
        // Not scored.
        format!("one\t30\t.\t{base}\t.\t.\t.\t."),
        format!("one\t30\t.\t{base}\t*\t.\tPASS\tDP=1;FLAG;X=a b"),
        format!("one\t30\t.\t{base}\t<NON_REF>\t9.50\tq10;s50\t.\tGT:AD\t0|1:3,4\t./."),
        format!("one\t30\t.\t{base}\t{base}[two:9[,]two:7]{base}\t.\t.\tSVTYPE=BND"),
        format!("one\t30\t.\t{base}\t{base}.\t.\t.\t."),
        "lost\t5\t.\tA\tC\t.\t.\tDP=7".to_owned(),
        format!("one\t30\t.\t{other}\tT\t.\t.\tDP=8\tGT\t0/1"),
        "one\t401\t.\tA\tC\t.\t.\t.".to_owned(),
        "one\t0\t.\tN\tC\t.\t.\t.".to_owned(),
        // Scored.
        format!(
            "one\t30\t\u{e9};x\t{}\t{},*\t1e3\tPASS\t.\tGT\t0/1",
            base.to_lowercase(),
            other.to_lowercase()
        ),
        format!("one\t30\t.\tN\t{other}\t.\t.\tDP=7"),
    ];
    let strange = "##strange=<a,\"b\">\n##INFO=<ID=Q,Number=.,Type=Float,Description=\"\u{e9}\">\n";
    let header = HEADER.to_owned() + strange + COLUMNS + "\n";
    // The last line ends, however it ended in the file.
    for end in ["", "\r", "\r\r", "\n", "\r\n"] {
        fs::write(at.join("end.vcf"), format!("{header}{}{end}", odd[0])).unwrap();
        let written = stdout(at, "variants -m padded.onnx --genome genome.fa end.vcf --force");
        assert!(
            written.ends_with(&format!("{}{}\n", odd[0], end.trim_end_matches('\n'))),
            "{end:?}: {written:?}"
        );
    }
    fs::write(at.join("odd.vcf"), header.clone() + &odd.join("\r\n")).unwrap();
    let output = run(at, "variants -m padded.onnx --genome genome.fa odd.vcf --force");
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}");
    let (own, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("##bindscan") || line.starts_with("##INFO=<ID=BS_"));
    assert_eq!(own.len(), 3 + 8);
    assert_eq!(others[..header.lines().count()].join("\n") + "\n", header);
    let records = &text[text.find("one\t").unwrap()..];
    for (i, (line, old)) in records.split_inclusive('\n').zip(&odd).enumerate() {
        let ending = if i + 1 < odd.len() { "\r\n" } else { "\n" };
        if i < 9 {
            assert_eq!(line, format!("{old}{ending}"));
            continue;
        }
        let (new, old): (Vec<&str>, Vec<&str>) =
            (line.trim_end().split('\t').collect(), old.split('\t').collect());
        assert!(line.ends_with(ending) && new.len() == old.len());
        let added = match old[7] {
            "." => new[7],
            info => new[7].strip_prefix(info).unwrap().strip_prefix(';').unwrap(),
        };
        assert_eq!(added.split(';').count(), 8);
        assert!(added.split(';').all(|entry| entry.starts_with("BS_padded_")), "{added}");
        assert_eq!([&new[..7], &new[8..]], [&old[..7], &old[8..]]);
    }
    assert_eq!(records.lines().count(), odd.len());
    for phrase in [
        "11 records, 2 alleles scored; not scored: 1 without an ALT allele, 2 of the allele *, 1 symbolic, 3 of breakends, \
         1 on contigs that the genome does not have, 2 outside the contig's bases, 1 whose REF differs",
        &format!("odd.vcf, line 18: REF at one:30 is '{other}', but the genome has '{base}'"),
        "odd.vcf, line 19: one:401 is past the end of the contig, which has 400 bases",
        "line 20: position 0 of one",
        "on contigs that the genome does not have: 1 record, lost",
    ] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }

    // Again: the fields are renewed, and nothing is said twice.
    fs::write(at.join("again.vcf"), &text).unwrap();
    let again = stdout(at, "variants -m padded.onnx --genome genome.fa again.vcf --force");
    let without = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without(&again), without(&text));
}

#[test]
fn a_header_without_contigs_gets_those_of_the_genome() {
    let directory = example(5);
    let at = directory.path();
    fs::write(at.join("bare.vcf"), format!("##fileformat=VCFv4.3\n{COLUMNS}\none\t3\t.\tN\tA\t.\t.\t.\n"))
        .unwrap();
    let text = stdout(at, "variants -m padded.onnx --genome genome.fa bare.vcf");
    assert!(text.contains("##contig=<ID=one,length=400>\n##contig=<ID=two,length=61>\n"), "{text}");
    // It is one that others read.
    let mut reader = vcf::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    assert_eq!(header.infos().len(), 8);
    assert_eq!(reader.record_bufs(&header).map(Result::unwrap).count(), 1);
}

#[test]
fn compressed_output_is_indexed_if_it_is_sorted() {
    let directory = example(8);
    let at = directory.path();
    run_ok(at, "variants -m padded.onnx --genome genome.fa calls.vcf -o out.vcf.gz -o out.tsv.gz -o out.vcf");
    let plain = fs::read_to_string(at.join("out.vcf")).unwrap();
    let region = "one:101-160".parse().unwrap();
    let mut reader =
        vcf::io::indexed_reader::Builder::default().build_from_path(at.join("out.vcf.gz")).unwrap();
    let header = reader.read_header().unwrap();
    let found = reader.query(&header, &region).unwrap().records().filter(Result::is_ok).count();
    let overlapping = plain.lines().filter(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let start = columns.get(1).and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
        columns[0] == "one" && start <= 160 && start + columns[3].len() > 101
    });
    let want = overlapping.count();
    assert!(want > 5);
    assert_eq!(found, want);
    assert!(at.join("out.tsv.gz.tbi").exists());
    let mut text = String::new();
    let mut reader = bgzf::io::Reader::new(fs::File::open(at.join("out.vcf.gz")).unwrap());
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, plain);

    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    let (header, records): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let backwards: Vec<&str> = records.into_iter().rev().collect();
    fs::write(at.join("back.vcf"), format!("{}\n{}\n", header.join("\n"), backwards.join("\n"))).unwrap();
    let output = run(at, "variants -m padded.onnx --genome genome.fa back.vcf -o back.vcf.gz");
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("back.vcf.gz: has no index, as its lines are not sorted")
    );
    assert!(at.join("back.vcf.gz").exists() && !at.join("back.vcf.gz.tbi").exists());
}
