//! One reader, several workers, and the caller's thread as ordered writer, joined by bounded channels.
//!
//! The reader sends the receiver of an item's result to a bounded `order` channel and then the item, with the
//! sender, to a bounded `work` channel; the writer takes results in the order of the first. Order, back-pressure
//! and first-error-in-order follow without sequence numbers, memory is bounded by the channels, and emptied
//! buffers go back to the reader.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{Error, Result};

type Job<I, O> = (I, O, Sender<Result<(I, O)>>);

/// Items that may wait for each worker, on top of the one it has.
const WAITING_PER_WORKER: usize = 2;

/// Reads items, has the workers turn each into an output, and gives the outputs to `writer` in reading order.
///
/// `reader` fills an item and answers `false` at the end of the input. Each worker owns its state. Items and outputs
/// are recycled: whoever fills one must clear what it held. Setting `cancel` ends the run with
/// [`Error::Interrupted`].
///
/// # Errors
/// The first error in input order, whoever met it. A worker that panics is an error too.
pub fn run<I, O, R, W, S>(mut reader: R, workers: Vec<W>, mut writer: S, cancel: &AtomicBool) -> Result<()>
where
    I: Default + Send,
    O: Default + Send,
    R: FnMut(&mut I) -> Result<bool> + Send,
    W: FnMut(&I, &mut O) -> Result<()> + Send,
    S: FnMut(&mut O) -> Result<()>,
{
    let depth = workers.len() * WAITING_PER_WORKER;
    let (work_tx, work_rx) = bounded::<Job<I, O>>(depth);
    let (order_tx, order_rx) = bounded::<Receiver<Result<(I, O)>>>(depth + workers.len());
    let (recycle_tx, recycle_rx) = bounded::<(I, O)>(2 * depth + workers.len());

    let read = move || {
        loop {
            let (mut item, output) = recycle_rx.try_recv().unwrap_or_default();
            let more =
                if cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { reader(&mut item) };
            let (tx, rx) = bounded(1);
            match more {
                Ok(false) => return,
                Ok(true) => {
                    // A closed channel means that the writer or all workers stopped: they hold the reason.
                    if order_tx.send(rx).is_err() || work_tx.send((item, output, tx)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = tx.send(Err(error));
                    let _ = order_tx.send(rx);
                    return;
                }
            }
        }
    };
    let work = |mut worker: W, jobs: Receiver<Job<I, O>>| {
        for (item, mut output, done) in jobs {
            let result = worker(&item, &mut output).map(|()| (item, output));
            let _ = done.send(result);
        }
    };
    let write = move || -> Result<()> {
        for result in order_rx {
            let (item, mut output) = result.recv().map_err(|_| worker_lost())??;
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            writer(&mut output)?;
            let _ = recycle_tx.try_send((item, output));
        }
        Ok(())
    };

    thread::scope(|scope| {
        let mut threads = vec![thread::Builder::new().spawn_scoped(scope, read)];
        for worker in workers {
            let jobs = work_rx.clone();
            let work = &work;
            threads.push(thread::Builder::new().spawn_scoped(scope, move || work(worker, jobs)));
        }
        drop(work_rx);
        let threads: std::io::Result<Vec<_>> = threads.into_iter().collect();
        let threads = match threads {
            Ok(threads) => threads,
            Err(error) => {
                // The threads that did start end when nobody takes their results.
                drop(write);
                return Err(Error::Request(format!(
                    "cannot start that many threads ({error}); use fewer (--threads)"
                )));
            }
        };
        let written = write();
        let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        if panicked > 0 { written.and(Err(worker_lost())) } else { written }
    })
}

fn worker_lost() -> Error {
    Error::Internal("a worker thread ended before its work was done: this is a bug in bindscan".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(workers: usize, count: u64, fail_at: Option<u64>) -> (Vec<u64>, Result<()>) {
        let mut next = 0;
        let mut written = Vec::new();
        let result = run(
            |item: &mut u64| {
                *item = next;
                next += 1;
                Ok(*item < count)
            },
            (0..workers)
                .map(|_| {
                    move |item: &u64, output: &mut u64| {
                        if fail_at.is_some_and(|at| *item >= at) {
                            return Err(Error::Request(format!("item {item}")));
                        }
                        // Uneven work, so that results come back out of order.
                        thread::sleep(std::time::Duration::from_micros(item % 7 * 50));
                        *output = item * item;
                        Ok(())
                    }
                })
                .collect(),
            |output: &mut u64| {
                written.push(*output);
                Ok(())
            },
            &AtomicBool::new(false),
        );
        (written, result)
    }

    #[test]
    fn outputs_come_in_input_order_for_any_number_of_workers() {
        let want: Vec<u64> = (0..200).map(|i| i * i).collect();
        for workers in [1, 2, 5] {
            let (written, result) = squares(workers, 200, None);
            result.unwrap();
            assert_eq!(written, want);
        }
    }

    #[test]
    fn the_first_error_in_input_order_is_reported_and_what_came_before_is_written() {
        for workers in [1, 4] {
            let (written, result) = squares(workers, 200, Some(50));
            assert_eq!(result.unwrap_err().to_string(), "item 50");
            assert_eq!(written.len(), 50);
        }
    }

    #[test]
    fn a_panicking_worker_is_an_error_not_an_end_of_stream() {
        let mut left = 10;
        let result = run(
            |_: &mut u8| {
                left -= 1;
                Ok(left > 0)
            },
            vec![|_: &u8, _: &mut u8| -> Result<()> { panic!("on purpose") }],
            |_: &mut u8| Ok(()),
            &AtomicBool::new(false),
        );
        assert!(result.unwrap_err().to_string().contains("worker thread"));
    }

    #[test]
    fn an_error_of_the_writer_stops_an_endless_reader() {
        let result = run(
            |_: &mut u8| Ok(true),
            vec![|_: &u8, _: &mut u8| Ok(())],
            |_: &mut u8| Err(Error::Request("disk full".into())),
            &AtomicBool::new(false),
        );
        assert_eq!(result.unwrap_err().to_string(), "disk full");
    }

    #[test]
    fn cancelling_interrupts() {
        let cancel = AtomicBool::new(false);
        let mut written = 0;
        let result = run(
            |_: &mut u8| Ok(true),
            vec![|_: &u8, _: &mut u8| Ok(())],
            |_: &mut u8| {
                written += 1;
                cancel.store(written == 3, Ordering::Relaxed);
                Ok(())
            },
            &cancel,
        );
        assert!(matches!(result, Err(Error::Interrupted)));
    }
}
