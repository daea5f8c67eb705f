//! The steps of Adam (Kingma & Ba 2015).

/// Decay rates of the first and second moments, and ε.
const DECAY: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// One step of Adam, the same for all parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    rate: f32,
    /// Factor of the second moment.
    second: f32,
}

impl Adam {
    /// The `step`-th step (from 1), as in algorithm 1 of the paper: both moments are corrected for their start at 0.
    pub(crate) fn corrected(step: i32, rate: f32) -> Adam {
        let unbiased = DECAY.map(|decay| 1.0 - decay.powi(step));
        Adam { rate: rate / unbiased[0], second: 1.0 / unbiased[1] }
    }

    /// The `step`-th step (from 1) with the corrections in the rate (end of section 2 of the paper): ε is added to the
    /// root of the second moment as it is.
    pub(crate) fn folded(step: i32, rate: f32) -> Adam {
        let unbiased = DECAY.map(|decay| 1.0 - decay.powi(step));
        Adam { rate: rate * unbiased[1].sqrt() / unbiased[0], second: 1.0 }
    }

    /// Moves one parameter against its slope.
    #[inline(always)]
    pub(crate) fn update(self, value: &mut f32, slope: f32, first: &mut f32, second: &mut f32) {
        *first = DECAY[0] * *first + (1.0 - DECAY[0]) * slope;
        *second = DECAY[1] * *second + (1.0 - DECAY[1]) * slope * slope;
        *value -= self.rate * *first / ((*second * self.second).sqrt() + EPSILON);
    }
}
