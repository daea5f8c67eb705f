//! `bindscan scan --report`: the page says what the tracks say.

use std::fs;
use std::path::Path;

use crate::common::html::elements;
use crate::common::{error_line, gzip, run_ok, shared_data, simulated, stdout, stdout_of_input};

fn page(at: &Path, name: &str) -> String {
    fs::read_to_string(at.join(name)).unwrap()
}

/// The page without the lines that differ between two runs: its time, and the command as it was typed.
fn without_run(html: &str) -> String {
    let differs = |line: &&str| !line.starts_with("<dt>Run</dt>") && !line.starts_with("<dt>Command</dt>");
    html.lines().filter(differs).collect::<Vec<_>>().join("\n")
}

/// Texts between two pieces of text, wherever these occur; they may overlap.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let ends = |(at, _): (usize, &str)| {
        let rest = &text[at + before.len()..];
        Some(&rest[..rest.find(after)?])
    };
    text.match_indices(before).filter_map(ends).collect()
}

/// Text without its tags.
fn plain(html: &str) -> String {
    html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect()
}

/// Rows of BED: contig, start, end, strand, score.
fn sites(bed: &str) -> Vec<(String, u64, u64, String, f64)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |i: usize| fields[i].parse::<u64>().unwrap();
        (fields[0].to_owned(), number(1), number(2), fields[5].to_owned(), fields[6].parse().unwrap())
    };
    bed.lines().map(row).collect()
}

#[test]
fn the_page_is_the_same_for_any_threads_chunk_size_and_input_route() {
    let directory = simulated("300k", 3, 300);
    let at = directory.path();
    let genome = fs::read(at.join("genome.fa")).unwrap();
    fs::write(at.join("genome.fa.gz"), gzip(&genome)).unwrap();
    // At -8 hits overlap over long stretches: sites are settled at the seams of chunks.
    for threshold in ["6", "-8"] {
        let report = |options: &str| {
            run_ok(
                at,
                &format!(
                    "scan -m motif.onnx -m FOXA1 --stride 7 --threshold {threshold} -o sites.bed --report out.html {options}"
                ),
            );
            without_run(&page(at, "out.html"))
        };
        let want = report("genome.fa -t 1");
        for (threads, chunk) in [(1, 97), (3, 1000), (4, 65_536)] {
            assert!(
                report(&format!("genome.fa -t {threads} --chunk-size {chunk}")) == want,
                "{threads} {chunk}"
            );
        }
        assert!(report("genome.fa.gz -t 2").replace("genome.fa.gz", "genome.fa") == want, "gzip");
    }
}

#[test]
fn numbers_and_sequences_are_those_of_the_tracks() {
    let directory = simulated("100k", 3, 200);
    let at = directory.path();
    let bed = stdout(at, "scan -m motif.onnx genome.fa --threshold 7 --report out.html -o -");
    let html = page(at, "out.html");
    let seen = elements(&html);
    assert_eq!(seen.iter().filter(|name| *name == "h2").count(), 5);
    let sites = sites(&bed);
    assert!(sites.len() > 150);

    let heads: Vec<String> = between(&html, "<li><b>", "</b>").into_iter().map(str::to_owned).collect();
    assert_eq!(heads[0], sites.len().to_string());
    assert_eq!(heads[3], bindscan::report::grouped(100_000 - 3 * 14));
    for contig in ["sim1", "sim2", "sim3"] {
        let row = between(&html, &format!("<th scope=\"row\">{contig}</th>"), "</tr>")[0];
        let count = sites.iter().filter(|site| site.0 == contig).count();
        assert_eq!(between(row, "<td>", "</td>")[0], count.to_string(), "{contig}");
    }
    let all = format!("all windows ({})", bindscan::report::grouped(100_000 - 3 * 14));
    assert!(html.contains(&all), "a small genome is sampled whole");

    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let contigs: Vec<(String, String)> = genome
        .split('>')
        .skip(1)
        .map(|record| record.split_once('\n').unwrap())
        .map(|(name, lines)| (name.split_whitespace().next().unwrap().to_owned(), lines.replace('\n', "")))
        .collect();
    let mut best = sites.clone();
    best.sort_by(|a, b| b.4.total_cmp(&a.4));
    let rows: Vec<&str> = between(&html, "<tr><td><span", "</tr>");
    assert_eq!(rows.len(), 25);
    for (row, expected) in rows.into_iter().zip(&best) {
        let cells: Vec<String> = between(row, ">", "</td>").into_iter().map(plain).collect();
        let score: f64 = between(row, "<td>", "</td>")[1].parse().unwrap();
        assert!((score - expected.4).abs() <= 5.001e-4);
        let place = &cells[0];
        let (contig, start, end, strand, _) = sites
            .iter()
            .find(|site| *place == format!("{}:{}-{}", site.0, site.1 + 1, site.2))
            .unwrap_or_else(|| panic!("{place} is no site"));
        let sequence = plain(row.rsplit_once("<td class=\"sequence\">").unwrap().1);
        let forward =
            &contigs.iter().find(|(name, _)| name == contig).unwrap().1[*start as usize..*end as usize];
        let complement = |base: char| "TGCA".chars().nth("ACGT".find(base).unwrap()).unwrap();
        let read = match strand.as_str() {
            "+" => forward.to_owned(),
            _ => forward.chars().rev().map(complement).collect(),
        };
        assert_eq!(sequence.to_uppercase(), read.to_uppercase(), "{place}");
    }
}

#[test]
fn p_and_q_values_are_those_of_the_tracks() {
    let directory = simulated("100k", 2, 60);
    let at = directory.path();
    let report = |options: &str| {
        let bed =
            stdout(at, &format!("scan -m motif.onnx genome.fa --qvalue 0.05 --report out.html {options}"));
        (bed, without_run(&page(at, "out.html")))
    };
    let (bed, html) = report("-t 1");
    assert!(report("-t 3 --chunk-size 500").1 == html, "threads and chunk size");
    elements(&html);
    let found = sites(&bed);
    assert!(!html.contains("threshold -"), "the bound of the tests is no threshold");
    assert!(
        found.len() > 25
            && html.contains("<h2>Scores and p-values</h2>")
            && html.contains("<dt>p-values of ")
    );
    assert_eq!(between(&html, "<li><b>", "</b>")[0], found.len().to_string());
    for row in between(&html, "<tr><td><span", "</tr>") {
        let place = plain(between(row, ">", "</td>")[0]);
        let line = bed
            .lines()
            .map(|line| line.split('\t').collect::<Vec<&str>>())
            .find(|fields| {
                place == format!("{}:{}-{}", fields[0], fields[1].parse::<u64>().unwrap() + 1, fields[2])
            })
            .unwrap_or_else(|| panic!("{place} is no site"));
        let shown = |text: &str| format!("{:.2}", -text.parse::<f64>().unwrap().log10());
        let cells = between(row, "<td>", "</td>");
        assert_eq!(cells[2..4], [shown(line[7]), shown(line[8])], "{place}");
    }
}

#[test]
fn a_network_shows_its_filters_and_a_scan_without_sites_says_so() {
    let directory = simulated("40k", 2, 60);
    let at = directory.path();
    run_ok(
        at,
        "scan -m CTCFL -m motif.onnx genome.fa --threshold 0 --threshold 99 -o {name}.bed --report out.html",
    );
    let html = page(at, "out.html");
    elements(&html);
    let models = between(&html, "<h2>Models</h2>", "</section>")[0];
    assert!(
        models.contains("CTCFL")
            && models.contains("<td>99.000</td><td>0</td><td>0.0</td><td>–</td><td>–</td>")
    );
    let strongest = between(&html, "<h2>Strongest sites</h2>", "</section>")[0];
    assert!(strongest.contains("Filter ") && strongest.contains("There is no site"));
    assert!(strongest.matches("<svg").count() >= 2, "logos of filters and of the matrix");
    assert!(!html.contains("NaN") && !html.contains("inf<"));
}

#[test]
fn of_many_contigs_the_longest_are_listed_and_the_others_added_up() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let motif = crate::common::motif_file();
    run_ok(at, &format!("import meme {} -o motif.onnx", motif.display()));
    let bases = |i: usize| if i == 777 { 3000 } else { 10 + i % 50 };
    let genome: String = (0..2000).map(|i| format!(">c{i}\n{}\n", "ACGGT".repeat(bases(i) / 5))).collect();
    fs::write(at.join("genome.fa"), genome).unwrap();
    run_ok(at, "scan -m motif.onnx genome.fa --all -o sites.bed --report out.html");
    let html = page(at, "out.html");
    let table = between(&html, "<h2>Sites per contig</h2>", "</section>")[0];
    assert_eq!(table.matches("<tr>").count(), 1 + 60 + 1);
    assert!(table.contains(">c777<") && table.contains("1,940 others"));
    let total = fs::read_to_string(at.join("sites.bed")).unwrap().lines().count() as u64;
    let counts = between(table, "</td><td>", "</td>").into_iter().step_by(3);
    let sum: u64 = counts.map(|count| count.replace(',', "").parse::<u64>().unwrap()).sum();
    assert_eq!(sum, total);
    assert!(html.contains("shorter than a window of a model, which skipped them"));
}

#[test]
fn the_page_stands_on_its_own_and_a_pipe_has_no_view() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    fs::create_dir(at.join("pages")).unwrap();
    run_ok(
        at,
        "scan -m motif.onnx genome.fa --threshold 9 -o sites.bed -o scores.bedGraph --report pages/out.html",
    );
    let html = page(at, "pages/out.html");
    for word in ["http:", "https:", "url(", "@import", "src=", "href="] {
        assert!(!html.replace("http://www.w3.org/2000/svg", "").contains(word), "{word}");
    }
    let config = between(&html, "id=\"browser-config\">", "</script>")[0];
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    assert_eq!(config["igv"], "igv.min.js");
    assert_eq!(config["genome"]["url"], "../genome.fa");
    assert_eq!(config["tracks"][0]["url"], "../sites.bed");
    assert_eq!(config["tracks"][1]["type"], "wig");

    let genome = fs::read(at.join("genome.fa")).unwrap();
    stdout_of_input(at, "scan -m motif.onnx - --threshold 9 -o sites.bed --report out.html", &genome);
    let html = page(at, "out.html");
    assert!(html.contains("came from a pipe") && !html.contains("<script"));
}

#[test]
fn paths_with_dots_lead_to_the_files_that_they_name() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    for folder in ["work/deep", "genomes/of"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    fs::rename(at.join("genome.fa"), at.join("genomes/my.fa")).unwrap();
    let words = "scan -m ../../motif.onnx ../../genomes/of/../my.fa --threshold 9 -o ../sites.bed --report ./x/../out.html";
    fs::create_dir(at.join("work/deep/x")).unwrap();
    run_ok(&at.join("work/deep"), words);
    let html = page(at, "work/deep/out.html");
    let config = between(&html, "id=\"browser-config\">", "</script>")[0];
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    assert_eq!(config["genome"]["url"], "../../genomes/my.fa");
    assert_eq!(config["tracks"][0]["url"], "../sites.bed");
    let command = between(&html, "<dt>Command</dt><dd>", "</dd>")[0];
    assert!(command == format!("bindscan {words}"), "{command}");
}

#[test]
fn warnings_of_the_run_are_on_the_page() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    fs::write(at.join("some.bed"), "sim1\t100\t5000\nsim1\t6000\t99000000\n").unwrap();
    for quiet in ["", "--quiet"] {
        let scan = "scan -m motif.onnx genome.fa --threshold 9 -R some.bed --skip-bad-regions";
        run_ok(at, &format!("{scan} -o sites.bed --report out.html {quiet}"));
        let html = page(at, "out.html");
        let notes = between(&html, "<ul class=\"notes\">", "</ul>");
        assert!(notes.len() == 1 && notes[0].contains("1 clipped"), "{quiet}: {notes:?}");
    }
}

#[test]
fn strands_are_those_of_the_tracks() {
    let directory = simulated("20k", 1, 30);
    let at = directory.path();
    // One of the models reads both strands at once.
    for (model, threshold) in [("motif.onnx", "6"), ("FOXA1", "-8")] {
        let scan = format!("scan -m {model} genome.fa --threshold {threshold} --report out.html -o -");
        let bed = stdout(at, &scan);
        let html = page(at, "out.html");
        let rows = between(&html, "<tr><td><span", "</tr>");
        assert!(!rows.is_empty(), "{model}");
        for row in rows {
            let place = plain(between(row, ">", "</td>")[0]);
            let shown = between(row, "<td>", "</td>")[0].replace('−', "-");
            let named = |site: &&(String, u64, u64, String, f64)| {
                place == format!("{}:{}-{}", site.0, site.1 + 1, site.2)
            };
            let sites = sites(&bed);
            assert_eq!(shown, sites.iter().find(named).unwrap().3, "{model}, {place}");
        }
    }
}

#[test]
fn a_page_that_cannot_be_written_is_found_out_before_the_scan() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    let line =
        error_line(at, "scan -m motif.onnx genome.fa --threshold 9 -o sites.bed --report no/such/out.html");
    assert!(line.contains("no/such/out.html"), "{line}");
    assert!(!at.join("sites.bed").exists());
    let line = error_line(
        at,
        "scan -m motif.onnx genome.fa --threshold 9 --format bed -o same.html --report ./same.html",
    );
    assert!(line.contains("two outputs would be written to it"), "{line}");
}

#[test]
fn the_sample_of_a_real_genome_stands_for_all_of_its_windows() {
    let Some(genome) = shared_data("genomes/ecoli.fa.gz") else { return };
    let directory = simulated("20k", 1, 1);
    let at = directory.path();
    let report =
        format!("scan -m motif.onnx {} --threshold 12 -o sites.bed --report out.html", genome.display());
    run_ok(at, &report);
    let html = page(at, "out.html");
    let sampled = between(&html, "all windows, estimated from ", " of them")[0];
    let sampled: f64 = sampled.replace(',', "").parse().unwrap();
    assert!((0.02..0.08).contains(&(sampled / 4_641_652.0)), "{sampled} windows are sampled");
}
