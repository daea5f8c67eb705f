//! Random orders.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// A random order, each equally likely.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut Xoshiro256PlusPlus) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}
