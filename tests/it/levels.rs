//! The levels of the library: a module imports only from levels below its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The library's modules from the lowest level to the highest. Modules on one line do not import from each other.
const LEVELS: &[&[&str]] = &[
    &["error"],
    &["pipeline", "seq", "simd"],
    &["scores"],
    &["io"],
    &["genome", "null"],
    &["reads"],
    &["model"],
    &["engine"],
    &["report"],
    &["dataset", "sites"],
    &["calibrate", "genome_wide"],
    &["track"],
    &["merge", "motifs", "profile", "simulate", "train"],
    &["scan"],
    &["regions", "variants"],
    &["enrichment"],
];

/// The modules of the scan kernel, likewise; `kernel.rs` itself is above them all.
const KERNEL_LEVELS: &[&[&str]] = &[
    &["simd"],
    &["dense", "pool", "triple"],
    &["convolve"],
    &["filters"],
    &["prune"],
    &["padded_edges"],
    &["strand_tables"],
    &["geometry"],
    &["prefilter"],
    &["matrices", "strand_scan"],
];

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules directly below `prefix` (such as `crate::`) that the code of a file names, outside its tests and comments.
fn imports(text: &str, prefix: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // The names at the first depth of a group of imports.
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut name));
                    }
                    _ if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            found.insert(name);
        } else {
            found.insert(rest.to_owned());
        }
    }
    let first = |path: &String| -> String {
        path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    found.iter().map(first).filter(|name| !name.is_empty()).collect()
}

/// The imports of the files under `root`, the modules below `prefix`, that do not go downwards. Where the module at `prefix`
/// is the highest itself (`root_is_top`), so is an import of anything that it defines.
fn upward(root: &Path, prefix: &str, levels: &[&[&str]], root_is_top: bool) -> Vec<String> {
    let level = |module: &str| levels.iter().position(|level| level.contains(&module));
    let mut files = Vec::new();
    rust_files(root, &mut files);
    files.sort();
    let mut edges = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(root).unwrap().with_extension("");
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let Some(own) = level(&module) else {
            if !["lib", "main", "cli", "python"].contains(&&*module) {
                edges.push(format!("{module} has no level: add it to tests/it/levels.rs"));
            }
            continue;
        };
        seen.insert(module.clone());
        let text = fs::read_to_string(&file).unwrap();
        let parents = "super::".repeat(relative.components().count());
        for imported in imports(&text, prefix).union(&imports(&text, &parents)) {
            let is_upward = level(imported).map_or(root_is_top, |level| level >= own);
            if *imported != module && is_upward {
                edges.push(format!("{} imports {imported}", relative.display()));
            }
        }
    }
    let listed = levels.iter().flat_map(|level| level.iter());
    edges.extend(
        listed.filter(|name| !seen.contains(**name)).map(|name| format!("{name} is not there any more")),
    );
    edges
}

#[test]
fn modules_import_from_lower_levels_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let edges = upward(&source, "crate::", LEVELS, false);
    assert!(edges.is_empty(), "imports that go up:\n{}", edges.join("\n"));
}

#[test]
fn modules_of_the_kernel_import_from_lower_levels_only() {
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/kernel");
    let edges = upward(&kernel, "crate::engine::kernel::", KERNEL_LEVELS, true);
    assert!(edges.is_empty(), "imports that go up:\n{}", edges.join("\n"));
}

#[test]
fn an_upward_import_is_found() {
    let text = "use crate::{Result, engine::{Engine, kernel}, seq};\nuse crate::scan::Scan;\n// crate::io::x\nfn f() { crate::genome::open(); }\n#[cfg(test)]\nmod tests { use crate::train; }";
    let want = ["Result", "engine", "genome", "scan", "seq"].map(String::from);
    assert_eq!(imports(text, "crate::"), BTreeSet::from(want));
}
