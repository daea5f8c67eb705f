//! Models that are built into the program, found by name (`models/README.md` describes them).

/// Declares the bundled models by their names: `models/NAME.onnx`.
macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../models/", $name, ".onnx")))),*]
    };
}

/// Name and ONNX file of each model, by name.
static MODELS: &[(&str, &[u8])] = bundled![
    "ARID3A",
    "Abf1",
    "CTCFL",
    "Cbf1",
    "ELK1",
    "FOXA1",
    "Fkh1",
    "GABPA",
    "Gcn4",
    "Hsf1",
    "Leu3",
    "MYC",
    "Mbp1",
    "Mcm1",
    "RNCMPT00001",
    "Rap1",
    "Reb1",
    "USF1",
];

/// The ONNX file of a bundled model; upper and lower case are the same.
pub fn find(name: &str) -> Option<(&'static str, &'static [u8])> {
    MODELS.iter().copied().find(|(bundled, _)| bundled.eq_ignore_ascii_case(name))
}

/// Names of all bundled models.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn every_bundled_model_is_a_network_of_its_name() {
        for name in names() {
            let (_, bytes) = find(name).unwrap();
            let model = Model::from_bytes(name, bytes).unwrap();
            assert_eq!(model.spec.name, name);
            assert!(model.network.is_ok());
            assert!(model.spec.provenance.contains_key("data_sha256"), "{name} has no provenance");
        }
        assert!(find("elk1").is_some() && find("nothing").is_none());
    }
}
