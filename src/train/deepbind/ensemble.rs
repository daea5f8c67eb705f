//! Several networks as one.

use crate::model::{Dense, Network, Pooling};

/// One network whose outputs are the means of those of `members`: their detectors side by side, and block by block
/// their dense layers. A scan takes one pass over the sequence, whatever the number of members.
///
/// # Errors
/// No members, and members that differ in detector length, padding, pooling or outputs, or of which only some have a
/// hidden layer or a logistic output: the message says what differs.
pub fn merge(members: &[Network]) -> Result<Network, String> {
    let [first, rest @ ..] = members else { return Err("there are no networks to merge".into()) };
    for other in rest {
        let same = |what: &str, same: bool| {
            if same { Ok(()) } else { Err(format!("the networks differ in {what}")) }
        };
        same("detector length", other.detector_length == first.detector_length)?;
        same("rectifier", other.rectify == first.rectify)?;
        same("padding", other.padding == first.padding)?;
        same("pooling", other.pooling == first.pooling)?;
        same("hidden layer", other.hidden.is_some() == first.hidden.is_some())?;
        same("outputs", other.output.outputs == first.output.outputs)?;
    }
    if rest.is_empty() {
        return Ok(first.clone());
    }
    if first.sigmoid {
        return Err("networks with a logistic output have no mean of the same form".into());
    }
    let share = 1.0 / members.len() as f32;
    let join = |of: fn(&Network) -> &Vec<f32>| members.iter().flat_map(of).copied().collect();
    let detectors: usize = members.iter().map(|member| member.detectors).sum();
    let features = detectors * first.pooling.features_per_detector();
    let hidden = hidden(members, detectors);
    let inputs = hidden.as_ref().map_or(features, |layer| layer.outputs);
    let mut output = Dense {
        inputs,
        outputs: first.output.outputs,
        weights: vec![0.0; inputs * first.output.outputs],
        bias: vec![0.0; first.output.outputs],
    };
    let mut before = 0;
    for member in members {
        let width = member.hidden.as_ref().map_or(member.detectors, |layer| layer.outputs);
        for o in 0..output.outputs {
            for i in 0..member.output.inputs {
                // Features come kind by kind, each with the detectors of all members; units come member by member.
                let at = if member.hidden.is_some() {
                    before + i
                } else {
                    i / width * detectors + before + i % width
                };
                output.weights[o * inputs + at] = member.output.weights[o * member.output.inputs + i] * share;
            }
            output.bias[o] += member.output.bias[o] * share;
        }
        before += width;
    }
    Ok(Network {
        detectors,
        weights: join(|member| &member.weights),
        thresholds: join(|member| &member.thresholds),
        hidden,
        output,
        ..first.clone()
    })
}

/// The hidden layers block by block: each member's units see its own detectors only.
fn hidden(members: &[Network], detectors: usize) -> Option<Dense> {
    let layers: Vec<&Dense> = members.iter().map(|member| member.hidden.as_ref()).collect::<Option<_>>()?;
    let kinds = members.first().map_or(1, |member| Pooling::features_per_detector(member.pooling));
    let (inputs, outputs) = (detectors * kinds, layers.iter().map(|layer| layer.outputs).sum());
    let mut joined = Dense { inputs, outputs, weights: vec![0.0; inputs * outputs], bias: Vec::new() };
    let mut before = 0;
    for (member, layer) in members.iter().zip(layers) {
        for unit in 0..layer.outputs {
            let row = &mut joined.weights[(joined.bias.len() + unit) * inputs..][..inputs];
            for i in 0..layer.inputs {
                let at = i / member.detectors * detectors + before + i % member.detectors;
                row[at] = layer.weights[unit * layer.inputs + i];
            }
        }
        joined.bias.extend(&layer.bias);
        before += member.detectors;
    }
    Some(joined)
}
