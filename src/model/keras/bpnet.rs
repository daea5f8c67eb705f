//! BPNet models whose files do not describe their layers.
//!
//! The program that trains them has a class of its own for them, and its files hold no more than the layers' names and
//! weights. The names follow a pattern, so that the network is known but for the lengths of its input and its profile.

use serde_json::{Value as Json, json};

use super::file::{KerasFile, Place};

/// Bases of the input and positions of the profile of nearly all of these models.
const INPUT: usize = 2114;
const PROFILE: usize = 1000;

/// Most dilated layers, each of twice the dilation of the one before.
const MOST_DILATED: u32 = 20;

/// Names of the layers that every such model has, behind its prefix.
const FIRST: &str = "_conv_0";
const PROFILE_HEAD: &str = "_profile_head";
const CONTROL_OF_PROFILE: &str = "profile_bias_input_0";
const CONTROL_OF_COUNTS: &str = "counts_bias_input_0";
const COUNTS: &str = "logcounts_predictions";
const PROFILES: &str = "profile_predictions";

/// The description that the file leaves out, if it is one of a BPNet.
pub(super) fn description(file: &KerasFile) -> Result<Option<Json>, String> {
    let Some(prefix) = file.layers.iter().find_map(|name| name.strip_suffix(FIRST)) else { return Ok(None) };
    if !has(file, &format!("{prefix}{PROFILE_HEAD}")) || !has(file, COUNTS) {
        return Ok(None);
    }
    for unknown in ["profile_predictions_0", "counts_dense_0"] {
        if has(file, unknown) {
            return Err(format!(
                "a BPNet of several tasks or with several layers before its counts (`{unknown}`) does not say how they go \
                 together; export it from its own program"
            ));
        }
    }
    Reader { file, prefix, layers: Vec::new() }.read().map(Some)
}

fn has(file: &KerasFile, name: &str) -> bool {
    file.layers.iter().any(|layer| layer == name)
}

struct Reader<'a> {
    file: &'a KerasFile,
    prefix: &'a str,
    layers: Vec<Json>,
}

impl Reader<'_> {
    fn read(mut self) -> Result<Json, String> {
        let prefix = self.prefix.to_owned();
        self.input("sequence", &json!([null, INPUT, 4]));
        // Without the cuts that make sums fit, layers pad.
        let cuts = self.file.layers.iter().any(|name| name.ends_with("_cr"));
        let padding = if cuts { "valid" } else { "same" };
        let mut last = "sequence".to_owned();
        let motif_layers = (0..).take_while(|i| has(self.file, &format!("{prefix}_conv_{i}"))).count();
        for i in 0..motif_layers {
            // The last one's activation belongs to the layers that follow.
            let activation = if i + 1 < motif_layers { "relu" } else { "linear" };
            last = self.convolution(&format!("{prefix}_conv_{i}"), &last, padding, 1, activation)?;
        }
        last = self.dilated(last, padding)?;
        self.profile_head(&last, padding)?;
        let average = format!("{prefix}_global_avg_pooling");
        self.layer("GlobalAveragePooling1D", &average, json!({}), &[&last]);
        let has_controls = has(self.file, CONTROL_OF_PROFILE);
        if has_controls {
            self.dense(&format!("{prefix}_counts_head"), &average)?;
            self.controls()?;
        } else {
            self.dense(COUNTS, &average)?;
        }
        let mut inputs = vec![json!(["sequence", 0, 0])];
        if has_controls {
            inputs.extend([json!([CONTROL_OF_PROFILE, 0, 0]), json!([CONTROL_OF_COUNTS, 0, 0])]);
        }
        Ok(json!({"class_name": "Functional", "config": {
            "name": "bpnet",
            "layers": self.layers,
            "input_layers": inputs,
            "output_layers": [[PROFILES, 0, 0], [COUNTS, 0, 0]],
        }}))
    }

    fn layer(&mut self, class: &str, name: &str, config: Json, inputs: &[&str]) {
        let mut config = config;
        config["name"] = json!(name);
        let call: Vec<Json> = inputs.iter().map(|input| json!([input, 0, 0, {}])).collect();
        let calls = if inputs.is_empty() { json!([]) } else { json!([call]) };
        self.layers
            .push(json!({"class_name": class, "name": name, "config": config, "inbound_nodes": calls}));
    }

    fn input(&mut self, name: &str, shape: &Json) {
        self.layer("InputLayer", name, json!({ "batch_shape": shape }), &[]);
    }

    /// The shape of a layer's weights.
    fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        let place = Place::default().layer(name, "");
        let weights = self.file.weights(&place, &["kernel"]).map_err(|e| format!("layer `{name}`: {e}"))?;
        Ok(weights[0].dims.clone())
    }

    fn convolution(
        &mut self,
        name: &str,
        input: &str,
        padding: &str,
        dilation: usize,
        activation: &str,
    ) -> Result<String, String> {
        let (kernel, filters) = match self.shape(name)?[..] {
            [kernel, _, filters] if kernel > 0 => (kernel, filters),
            _ => return Err(format!("layer `{name}`: its weights are not those of a convolution")),
        };
        let config = json!({"filters": filters, "kernel_size": [kernel], "padding": padding,
            "dilation_rate": [dilation], "activation": activation});
        self.layer("Conv1D", name, config, &[input]);
        Ok(name.to_owned())
    }

    fn dense(&mut self, name: &str, input: &str) -> Result<(), String> {
        let &[_, units] = &self.shape(name)?[..] else {
            return Err(format!("layer `{name}`: its weights are not those of a dense layer"));
        };
        self.layer("Dense", name, json!({ "units": units }), &[input]);
        Ok(())
    }

    /// Dilated convolutions, whose results are added to what they read: before its activation, or behind it.
    fn dilated(&mut self, mut last: String, padding: &str) -> Result<String, String> {
        let prefix = self.prefix.to_owned();
        for i in 1.. {
            let name = format!("{prefix}_dil_conv_{i}");
            if !has(self.file, &name) {
                break;
            }
            let active = format!("{last}_relu");
            self.layer("ReLU", &active, json!({}), &[&last]);
            let dilation = (i < MOST_DILATED).then(|| 1usize << i).ok_or("it has too many dilated layers")?;
            let sum = self.convolution(&name, &active, padding, dilation, "linear")?;
            let behind = format!("{active}_cr");
            let mut added = if has(self.file, &behind) { active } else { last };
            if padding == "valid" {
                let cut = (self.shape(&name)?[0] - 1) * dilation / 2;
                let cropped = format!("{added}_cr");
                self.layer("Cropping1D", &cropped, json!({"cropping": [cut, cut]}), &[&added]);
                added = cropped;
            }
            last = format!("{prefix}_add_{i}");
            self.layer("Add", &last, json!({}), &[&sum, &added]);
        }
        let active = format!("{last}_relu");
        self.layer("ReLU", &active, json!({}), &[&last]);
        Ok(active)
    }

    fn profile_head(&mut self, last: &str, padding: &str) -> Result<(), String> {
        let prefix = self.prefix.to_owned();
        let head = self.convolution(&format!("{prefix}{PROFILE_HEAD}"), last, padding, 1, "linear")?;
        let lost: usize = if padding == "valid" { self.lost()? } else { 0 };
        let positions = INPUT.checked_sub(lost).filter(|&positions| positions >= PROFILE);
        let positions =
            positions.ok_or_else(|| format!("its layers leave no {PROFILE} of {INPUT} positions"))?;
        let cut = positions / 2 - PROFILE / 2;
        let name = if has(self.file, CONTROL_OF_PROFILE) {
            format!("{prefix}_profile_head_cropped")
        } else {
            PROFILES.into()
        };
        self.layer("Cropping1D", &name, json!({"cropping": [cut, cut]}), &[&head]);
        Ok(())
    }

    /// Positions that the convolutions without padding take away.
    fn lost(&self) -> Result<usize, String> {
        let mut lost = 0;
        for layer in &self.layers {
            if layer["class_name"] == "Conv1D" {
                let number = |value: &Json| value.as_u64().unwrap_or(1) as usize;
                let config = &layer["config"];
                lost += (number(&config["kernel_size"][0]) - 1) * number(&config["dilation_rate"][0]);
            }
        }
        Ok(lost)
    }

    /// Contribution of control tracks to the profile and to the counts.
    fn controls(&mut self) -> Result<(), String> {
        let prefix = self.prefix.to_owned();
        let tracks = self.shape(&format!("{prefix}{PROFILE_HEAD}"))?[2];
        let all = self.shape(PROFILES)?.get(1).copied().unwrap_or(0);
        let controls =
            all.checked_sub(tracks).filter(|&n| n > 0).ok_or("its profile has no room for control tracks")?;
        self.input(CONTROL_OF_PROFILE, &json!([null, PROFILE, controls]));
        self.input(CONTROL_OF_COUNTS, &json!([null, controls]));
        let joined = format!("{prefix}_concat_with_prof_bias_0");
        let cropped = format!("{prefix}_profile_head_cropped");
        self.layer("Concatenate", &joined, json!({"axis": -1}), &[&cropped, CONTROL_OF_PROFILE]);
        self.convolution(PROFILES, &joined, "valid", 1, "linear")?;
        let added = format!("{prefix}_logsumexp_counts_bias_0");
        let control = if has(self.file, &added) {
            self.layer("LogSumExp", &added, json!({}), &[CONTROL_OF_COUNTS]);
            &added
        } else {
            CONTROL_OF_COUNTS
        };
        let joined = format!("{prefix}_concat_with_counts_bias_0");
        let head = format!("{prefix}_counts_head");
        self.layer("Concatenate", &joined, json!({"axis": -1}), &[&head, control]);
        self.dense(COUNTS, &joined)
    }
}

/// Notes for the user on a description that was made here.
pub(super) fn note() -> String {
    format!(
        "the file does not describe its layers: the network follows from their names, with {INPUT} bases and a profile of {PROFILE}"
    )
}
