//! Training data: any bytes as a table or FASTA give sequences with as many targets each, or an error in one line.
//!
//! The first byte chooses the columns that are asked for.

#![no_main]

use std::io::Write;

use bindscan::dataset::TargetKind;
use bindscan::dataset::load::{DataRequest, load, sequences};
use bindscan::dataset::table::{TableOptions, Targets};
use bindscan::genome::sequences::Column;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let column = |name: &str| Column::Name(name.into());
    let table = TableOptions {
        sequence: (choice & 1 != 0).then(|| Column::Rank(1)),
        targets: match choice & 6 {
            0 => Targets::Usual,
            2 => Targets::All,
            4 => Targets::These(vec![Column::Rank(2)]),
            _ => Targets::These(vec![column("y"), Column::Rank(3)]),
        },
        fold: (choice & 8 != 0).then(|| column("fold")),
        kind: match choice & 48 {
            16 => Some(TargetKind::Binary),
            32 => Some(TargetKind::Real),
            _ => None,
        },
    };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    if let Ok(sequences) = sequences(file.path(), &table) {
        assert!(sequences.iter().flatten().all(|&code| code <= 4));
    }
    let request = DataRequest {
        data: file.path().to_path_buf(),
        negatives_per_positive: 1.0,
        table,
        seed: 1,
        ..DataRequest::default()
    };
    match load(&request) {
        Ok(loaded) => {
            let set = &loaded.training;
            assert!(set.sequences.iter().flatten().all(|&code| code <= 4));
            assert_eq!(set.targets.len(), set.sequences.len() * set.outputs);
            assert!(set.folds.as_ref().is_none_or(|folds| folds.len() == set.sequences.len()));
            for note in &loaded.notes {
                assert_eq!(note.lines().count(), 1, "{note}");
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
