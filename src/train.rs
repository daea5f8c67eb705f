//! Fitting models to measurements: data sets, negatives and metrics; networks, fits and the search for
//! hyper-parameters; evaluation and the report on a training.

pub(crate) mod adam;
pub mod deepbind;
pub mod layers;
pub mod report;
pub(crate) mod state;
mod trainer;

pub use self::deepbind::hyperparameters::{Candidate, Recipe, Space};
pub use self::deepbind::optimizer::{Optimizer, Penalty};
pub use self::deepbind::parameters::Architecture;
pub use self::deepbind::search::{Outcome, Progress, Protocol};
pub use self::trainer::{Point, Resources, metric_name};
