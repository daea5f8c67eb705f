//! Several networks as one.

use crate::model::{Dense, Network, Pooling};

/// One network whose outputs are the means of those of `members`: their filters side by side, and block by block
/// their dense layers. A scan takes one pass over the sequence, whatever the number of members.
///
/// # Errors
/// No members, and members that differ in filter length, padding, pooling or outputs, or of which only some have a
/// hidden layer or a logistic output: the message says what differs.
pub fn merge(members: &[Network]) -> Result<Network, String> {
    let [first, rest @ ..] = members else { return Err("there are no networks to merge".into()) };
    for other in rest {
        let same = |what: &str, same: bool| {
            if same { Ok(()) } else { Err(format!("the networks differ in {what}")) }
        };
        same("filter length", other.filter_length == first.filter_length)?;
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
    let filters: usize = members.iter().map(|member| member.filters).sum();
    let features = filters * first.pooling.features_per_filter();
    let hidden = hidden(members, filters);
    let inputs = hidden.as_ref().map_or(features, |layer| layer.outputs);
    let mut output = Dense {
        inputs,
        outputs: first.output.outputs,
        weights: vec![0.0; inputs * first.output.outputs],
        bias: vec![0.0; first.output.outputs],
    };
    let mut before = 0;
    for member in members {
        let width = member.hidden.as_ref().map_or(member.filters, |layer| layer.outputs);
        for o in 0..output.outputs {
            for i in 0..member.output.inputs {
                // Features come kind by kind, each with the filters of all members; units come member by member.
                let at = if member.hidden.is_some() {
                    before + i
                } else {
                    i / width * filters + before + i % width
                };
                output.weights[o * inputs + at] = member.output.weights[o * member.output.inputs + i] * share;
            }
            output.bias[o] += member.output.bias[o] * share;
        }
        before += width;
    }
    Ok(Network {
        filters,
        weights: join(|member| &member.weights),
        biases: join(|member| &member.biases),
        hidden,
        output,
        ..first.clone()
    })
}

/// The hidden layers block by block: each member's units see its own filters only.
fn hidden(members: &[Network], filters: usize) -> Option<Dense> {
    let layers: Vec<&Dense> = members.iter().map(|member| member.hidden.as_ref()).collect::<Option<_>>()?;
    let kinds = members.first().map_or(1, |member| Pooling::features_per_filter(member.pooling));
    let (inputs, outputs) = (filters * kinds, layers.iter().map(|layer| layer.outputs).sum());
    let mut joined = Dense { inputs, outputs, weights: vec![0.0; inputs * outputs], bias: Vec::new() };
    let mut before = 0;
    for (member, layer) in members.iter().zip(layers) {
        for unit in 0..layer.outputs {
            let row = &mut joined.weights[(joined.bias.len() + unit) * inputs..][..inputs];
            for i in 0..layer.inputs {
                let at = i / member.filters * filters + before + i % member.filters;
                row[at] = layer.weights[unit * layer.inputs + i];
            }
        }
        joined.bias.extend(&layer.bias);
        before += member.filters;
    }
    Some(joined)
}
