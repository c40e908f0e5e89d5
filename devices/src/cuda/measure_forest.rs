//! What a GPU reaches when it scores rows: from its own memory, and from that of the host, beside the processor's own path on all cores; each
//! score is compared with the processor's before a time counts. The ensembles are made by dice: 200 trees of depth 6 over 30 features.

use std::sync::Arc;
use std::time::Instant;

use pelton_models::Scores;

use super::Cuda;
use super::measure::{Dice, Figure, cores, parallel};
use crate::ensembles::{Shape, model, rows};
use crate::forests::{Loader, Refusal, Walker};

/// Rows of a batch from the host.
const BATCH_ROWS: usize = 1 << 16;

/// An ensemble like those of fraud scoring: no leaf before the last level, so that every row goes all the way.
fn shape(double: bool, full: bool) -> Shape {
    Shape {
        double,
        features: 30,
        trees: if full { 200 } else { 20 },
        depth: 6,
        early: 0,
        classes: 1,
        thresholds: 250,
        dart: false,
        categories: 0,
        missing: 0,
        huge: false,
    }
}

/// Measures, and tells each figure.
pub(super) fn measure(device: &Arc<Cuda>, full: bool, tell: &mut dyn FnMut(Figure)) -> Result<(), String> {
    for double in [false, true] {
        one(device, &shape(double, full), full, tell)?;
    }
    Ok(())
}

fn one(device: &Arc<Cuda>, shape: &Shape, full: bool, tell: &mut dyn FnMut(Figure)) -> Result<(), String> {
    let count = if full { 1 << 20 } else { 1 << 10 };
    let mut dice = Dice(17);
    let model = model(shape, &mut |n| dice.next() % n);
    let made = rows(shape, count, &mut |n| dice.next() % n);
    let columns: Vec<&[f64]> = made.iter().map(Vec::as_slice).collect();
    let name = format!("{} trees, {}", shape.trees, if shape.double { "doubles" } else { "singles" });
    let batches: Vec<Vec<&[f64]>> = (0..count)
        .step_by(BATCH_ROWS)
        .map(|first| columns.iter().map(|column| &column[first..count.min(first + BATCH_ROWS)]).collect())
        .collect();
    let forests = device.forests();
    let score = |columns: &Vec<&[f64]>| forests.raw(&name, &model, columns).ok_or("the device refuses rows");
    let want = Scores::concat(parallel(&batches, |columns| model.raw(columns)));
    let got = parallel(&batches, score).into_iter().collect::<Result<Vec<Scores>, _>>()?;
    // No score of such an ensemble is NaN.
    if Scores::concat(got) != want {
        return Err(format!("{name}: the device's scores are others than the processor's"));
    }
    let cores = cores();
    let figure = |what: String, rate: f64, bytes: usize, than: Option<f64>, note: String| Figure {
        what: format!("{name} {what}"),
        rows_per_second: rate,
        bytes_per_second: rate * bytes as f64,
        share: than.map(|than| rate / than),
        of: than.map_or(String::new(), |_| {
            format!("the processor's own path on {cores} threads (times as fast; bar 20 from the device's memory)")
        }),
        note,
    };
    let processor = rate(full, count, || {
        parallel(&batches, |columns| drop(model.raw(columns)));
        Ok(())
    })?;
    tell(figure(
        format!("on the processor, {cores} threads"),
        processor,
        8 * shape.features as usize,
        None,
        String::new(),
    ));
    let forest = Arc::new(model.byte_forest()?);
    let failed = |refusal: Refusal| format!("{name}: {refusal:?}");
    let resident = device.load(&forest).map_err(failed)?;
    let bytes = device.row_bytes(&forest);
    let rows = count.min(resident.rows_max());
    for (what, ends) in [("from the device's memory", false), ("from the device's memory, leaves", true)] {
        resident.repeat(&columns, rows, 2, ends).map_err(failed)?;
        let times = if full { 20 } else { 2 };
        let seconds = resident.repeat(&columns, rows, times, ends).map_err(failed)?;
        let rate = f64::from(times) * rows as f64 / seconds;
        tell(figure(what.into(), rate, bytes, Some(processor), format!("{rows} rows a launch, {times} launches")));
    }
    let scored = |columns: &Vec<&[f64]>| score(columns).map(drop);
    let one = rate(full, count, || batches.iter().try_for_each(scored).map_err(Into::into))?;
    let all =
        rate(full, count, || parallel(&batches, scored).into_iter().collect::<Result<(), _>>().map_err(Into::into))?;
    for (threads, rate) in [(1, one), (cores, all)] {
        let what = format!("from the host, batches of {BATCH_ROWS}, {threads} threads make bytes");
        tell(figure(what, rate, bytes, Some(processor), format!("{bytes} bytes a row, there and back")));
    }
    Ok(())
}

/// Rows a second: the best of some rounds.
fn rate(full: bool, rows: usize, mut work: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let mut best = f64::MAX;
    for _ in 0..if full { 5 } else { 1 } {
        let begun = Instant::now();
        work()?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(rows as f64 / best)
}
