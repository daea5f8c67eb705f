//! The sites of filters in sequences, and the matrices that they average to.

use rayon::prelude::*;

use crate::model::motif::Motif;
use crate::model::onnx::recognize::Transfer;
use crate::motifs::Filter;
use crate::motifs::sequences::{Piece, Sequences};
use crate::motifs::table::{Table, tables};
use crate::{Error, Result};

/// Rule by which places of the sequences are a filter's sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every place where the activation is above half of the filter's highest in all sequences (Koo & Eddy 2019).
    KooEddy,
    /// In each sequence the place with the highest activation, the first of equals, if that is positive (Alipanahi et al.
    /// 2015, supplementary notes).
    DeepBind,
}

/// Options for finding sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Rule by which places are sites.
    pub method: Method,
    /// True if the reverse complement of the sequences is looked at, too.
    pub both_strands: bool,
    /// With [`Method::DeepBind`], longer sequences are cut into pieces of so many bases.
    pub piece: usize,
}

/// Motif that a filter has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Rank of the filter.
    pub filter: usize,
    /// The highest sum in all sequences, before the function that follows it; minus infinity if none was long enough.
    pub highest: f32,
    /// Sites; 0 if the filter is dead: if no sequence activates it.
    pub sites: u64,
    /// `counts[position]`: sites with A, C, G and T there.
    pub counts: Vec<[f64; 4]>,
}

/// Bases of a piece where it does not matter how sequences are cut.
const PIECE: usize = 1 << 16;

/// Looks for the sites of filters in sequences, where they fit in and meet no N.
///
/// Sums and counts do not depend on the number of threads of the rayon pool that this runs in.
///
/// # Errors
/// Sequences that cannot be read, or of which none is as long as a filter.
pub fn learn(filters: &[Filter], sequences: &Sequences, search: &Search) -> Result<Vec<Learned>> {
    let longest = filters.iter().map(Filter::length).max().unwrap_or(1);
    let layer = Layer::new(filters, search.both_strands);
    let (mut shown, reach) = (0u64, longest - 1);
    let none = || vec![f32::NEG_INFINITY; filters.len()];
    let (mut highest, mut sites) = (none(), Sites::new(filters));
    match search.method {
        Method::KooEddy => {
            sequences.for_each_batch(PIECE, reach, |pieces| {
                shown += pieces.iter().map(|piece| piece.codes.len() as u64).sum::<u64>();
                let batch =
                    pieces.par_iter().map(|piece| layer.highest(piece)).reduce(none, |a, b| greater(a, &b));
                raise(&mut highest, &batch);
                Ok(())
            })?;
            let half =
                |(filter, &highest): (&Filter, &f32)| filter.transfer.half(highest).unwrap_or(f32::INFINITY);
            let least: Vec<f32> = filters.iter().zip(&highest).map(half).collect();
            sequences.for_each_batch(PIECE, reach, |pieces| {
                let count = |mut sites: Sites, piece: &Piece<'_>| {
                    layer.count_above(piece, &least, &mut sites);
                    sites
                };
                let batch = pieces
                    .par_iter()
                    .fold(|| Sites::new(filters), count)
                    .reduce(|| Sites::new(filters), |a, b| a.joined(&b));
                sites.add(&batch);
                Ok(())
            })?;
        }
        Method::DeepBind => sequences.for_each_batch(search.piece.max(1), reach, |pieces| {
            shown += pieces.iter().map(|piece| piece.codes.len() as u64).sum::<u64>();
            let count = |(mut highest, mut sites): (Vec<f32>, Sites), piece: &Piece<'_>| {
                layer.count_best(piece, &mut highest, &mut sites);
                (highest, sites)
            };
            let empty = || (none(), Sites::new(filters));
            let join = |a: (Vec<f32>, Sites), b: (Vec<f32>, Sites)| (greater(a.0, &b.0), a.1.joined(&b.1));
            let batch = pieces.par_iter().fold(empty, count).reduce(empty, join);
            raise(&mut highest, &batch.0);
            sites.add(&batch.1);
            Ok(())
        })?,
    }
    if highest.iter().all(|&highest| highest == f32::NEG_INFINITY) {
        return Err(Error::Data(format!(
            "no stretch of the sequences ({shown} bases) is as long as a filter ({longest} bases) and free of N"
        )));
    }
    let found = filters.iter().zip(highest).zip(sites.0);
    let learned = found.map(|((filter, highest), (sites, counts))| Learned {
        filter: filter.rank,
        highest,
        sites,
        counts: counts.iter().map(|column| column.map(|count| count as f64)).collect(),
    });
    Ok(learned.collect())
}

impl Learned {
    /// The columns `kept` as a motif named `filter_N`; `None` if the filter is dead.
    pub fn motif(&self, kept: std::ops::Range<usize>, name: &str, rna: bool) -> Option<Motif> {
        (self.sites > 0).then(|| Motif {
            id: format!("filter_{}", self.filter),
            name: name.to_owned(),
            counts: self.counts[kept].to_vec(),
            rna,
            ..Motif::default()
        })
    }
}

fn raise(highest: &mut [f32], others: &[f32]) {
    highest.iter_mut().zip(others).for_each(|(a, &b)| *a = a.max(b));
}

fn greater(mut a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    raise(&mut a, b);
    a
}

/// Sites of each filter that some pieces have.
#[derive(Debug)]
struct Sites(Vec<(u64, Vec<[u64; 4]>)>);

impl Sites {
    fn new(filters: &[Filter]) -> Sites {
        Sites(filters.iter().map(|filter| (0, vec![[0; 4]; filter.length()])).collect())
    }

    /// Counts the stretch at `place` as a site of `filter`, read on the reverse strand if so.
    fn count(&mut self, filter: usize, codes: &[u8], place: usize, reverse: bool) {
        let (sites, counts) = &mut self.0[filter];
        *sites += 1;
        let stretch = &codes[place..place + counts.len()];
        if reverse {
            let turned = stretch.iter().rev().map(|code| 3 - code);
            counts.iter_mut().zip(turned).for_each(|(column, code)| column[usize::from(code)] += 1);
        } else {
            counts.iter_mut().zip(stretch).for_each(|(column, &code)| column[usize::from(code)] += 1);
        }
    }

    fn add(&mut self, other: &Sites) {
        for ((sites, counts), (more, added)) in self.0.iter_mut().zip(&other.0) {
            *sites += more;
            let columns = counts.iter_mut().zip(added);
            columns.for_each(|(column, added)| column.iter_mut().zip(added).for_each(|(x, y)| *x += y));
        }
    }

    fn joined(mut self, other: &Sites) -> Sites {
        self.add(other);
        self
    }
}

/// All filters as tables, for the strands that are read.
struct Layer {
    transfers: Vec<Transfer>,
    /// True if the tables are for the reverse strand, and the tables.
    strands: Vec<(bool, Vec<Table>)>,
}

impl Layer {
    fn new(filters: &[Filter], both_strands: bool) -> Layer {
        let mut strands = vec![(false, tables(filters))];
        if both_strands {
            let reversed: Vec<Filter> = filters.iter().map(Filter::reversed).collect();
            strands.push((true, tables(&reversed)));
        }
        Layer { transfers: filters.iter().map(|filter| filter.transfer).collect(), strands }
    }

    /// The highest sum of each filter.
    fn highest(&self, piece: &Piece<'_>) -> Vec<f32> {
        let mut all = vec![f32::NEG_INFINITY; self.transfers.len()];
        for table in self.strands.iter().flat_map(|(_, tables)| tables) {
            let mut highest = vec![f32::NEG_INFINITY; table.places.len()];
            table.each_place(piece.codes, piece.own, |_, sums| {
                highest.iter_mut().zip(sums).for_each(|(highest, &sum)| *highest = highest.max(sum));
            });
            table.places.iter().zip(highest).for_each(|(&filter, x)| all[filter] = all[filter].max(x));
        }
        all
    }

    /// Counts the places with a sum above the `least` of each filter.
    fn count_above(&self, piece: &Piece<'_>, least: &[f32], sites: &mut Sites) {
        for (reverse, tables) in &self.strands {
            for table in tables {
                let least: Vec<f32> = table.places.iter().map(|&filter| least[filter]).collect();
                table.each_place(piece.codes, piece.own, |place, sums| {
                    for (i, _) in sums.iter().zip(&least).enumerate().filter(|(_, (sum, least))| sum > least)
                    {
                        sites.count(table.places[i], piece.codes, place, *reverse);
                    }
                });
            }
        }
    }

    /// Counts the place with the highest sum of each filter, if its activation is positive.
    fn count_best(&self, piece: &Piece<'_>, highest: &mut [f32], sites: &mut Sites) {
        let mut best = vec![(f32::NEG_INFINITY, 0, false); self.transfers.len()];
        for (reverse, tables) in &self.strands {
            for table in tables {
                table.each_place(piece.codes, piece.own, |place, sums| {
                    for (&filter, &sum) in table.places.iter().zip(sums) {
                        if sum > best[filter].0 {
                            best[filter] = (sum, place, *reverse);
                        }
                    }
                });
            }
        }
        for (filter, (sum, place, reverse)) in best.into_iter().enumerate() {
            highest[filter] = highest[filter].max(sum);
            if self.transfers[filter].is_positive(sum) {
                sites.count(filter, piece.codes, place, reverse);
            }
        }
    }
}
