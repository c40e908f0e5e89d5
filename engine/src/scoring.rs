//! Who scores a batch with a model: the processor, or a device that walks its trees.
//!
//! A device that is named takes what it can; under `auto` each batch goes where one of its size is faster, as with `GROUP BY`. Scores
//! have the same bits on either, so a batch that a device refuses is the processor's, whole.

use std::fmt;
use std::sync::Arc;

use pelton_models::{ForestDevice, Model, Scores};

use crate::placement::{Batch, Choice, Machine, StagePlacement};

/// See the module. One for each call of a model in a plan.
pub struct Scorer {
    device: Arc<dyn ForestDevice>,
    chooser: Option<Chooser>,
}

/// What chooses under `auto`.
struct Chooser {
    placement: StagePlacement,
    /// Has the clock.
    machine: Arc<dyn Machine>,
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scorer on {}", self.device.name())
    }
}

impl Scorer {
    /// A device that takes all it can.
    pub fn named(device: Arc<dyn ForestDevice>) -> Self {
        Scorer { device, chooser: None }
    }

    /// A device that takes what it is predicted, then measured, to be faster at.
    pub fn chosen(device: Arc<dyn ForestDevice>, placement: StagePlacement, machine: Arc<dyn Machine>) -> Self {
        Scorer { device, chooser: Some(Chooser { placement, machine }) }
    }

    /// [`Model::predict`], by `scorer` if there is one.
    pub fn predict(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Scores {
        let on_device = |device: &dyn ForestDevice| device.predict(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.predict(columns))
    }

    /// [`Model::raw`] likewise.
    pub fn raw(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Scores {
        let on_device = |device: &dyn ForestDevice| device.raw(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.raw(columns))
    }

    /// [`Model::leaves`] likewise.
    pub fn leaves(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Vec<u32> {
        let on_device = |device: &dyn ForestDevice| device.leaves(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.leaves(columns))
    }

    fn answer<A>(
        scorer: Option<&Self>,
        digest: &str,
        model: &Model,
        columns: &[&[f64]],
        on_device: impl FnOnce(&dyn ForestDevice) -> Option<A>,
        here: impl FnOnce() -> A,
    ) -> A {
        let Some(Scorer { device, chooser }) = scorer else { return here() };
        let device = device.as_ref();
        let Some(Chooser { placement, machine }) = chooser else { return on_device(device).unwrap_or_else(here) };
        // What a device does not walk is not its time's business.
        let Some(row_bytes) = device.row_bytes(digest, model) else { return here() };
        let rows = columns.first().map_or(0, |column| column.len());
        let bytes = rows * row_bytes;
        let begun = machine.now();
        if placement.choose(Batch::new(rows, bytes)) == Choice::Device
            && let Some(answer) = on_device(device)
        {
            placement.observe(Choice::Device, rows, bytes, machine.now().saturating_sub(begun));
            return answer;
        }
        let begun = machine.now();
        let answer = here();
        placement.observe(Choice::Cpu, rows, bytes, machine.now().saturating_sub(begun));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::time::Duration;

    use pelton_kernels::costs::DeviceProfile;

    use super::*;
    use crate::placement::{Candidate, CostModel, Gpu, Mode};

    /// A clock that goes on by a millisecond whenever somebody looks, so that everything takes one.
    #[derive(Default)]
    struct Clock(AtomicI64);

    impl Machine for Clock {
        fn processor(&self) -> String {
            "a core".into()
        }
        fn recall(&self) -> Option<String> {
            None
        }
        fn keep(&self, _: &str) {}
        fn now(&self) -> Duration {
            Duration::from_micros(self.0.fetch_add(1000, Ordering::Relaxed) as u64)
        }
    }

    /// A device that takes so many µs more than the processor, or answers nothing.
    struct Fake {
        clock: Arc<Clock>,
        more_us: Option<i64>,
        asked: AtomicUsize,
    }

    impl ForestDevice for Fake {
        fn name(&self) -> String {
            "fake:0".into()
        }
        fn stop(&self, _: &str, _: &Model) -> Option<String> {
            None
        }
        fn row_bytes(&self, _: &str, _: &Model) -> Option<usize> {
            Some(9)
        }
        fn raw(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores> {
            assert_eq!(digest, "a digest");
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.clock.0.fetch_add(self.more_us?, Ordering::Relaxed);
            Some(model.raw(columns))
        }
        fn predict(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores> {
            self.raw(digest, model, columns).map(|_| model.predict(columns))
        }
        fn leaves(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Vec<u32>> {
            self.raw(digest, model, columns).map(|_| model.leaves(columns))
        }
    }

    /// How many of a hundred batches a device is asked for.
    fn asked(more_us: Option<i64>, chosen: bool) -> usize {
        let bytes = include_bytes!("../../models/tests/fixtures/xgb_binary.model.json");
        let model = Model::read(bytes, pelton_models::Format::XgboostJson).unwrap();
        let clock = Arc::new(Clock::default());
        let device = Arc::new(Fake { clock: clock.clone(), more_us, asked: AtomicUsize::new(0) });
        let scorer = if chosen {
            let gpu = Gpu { name: device.name(), profile: Some(DeviceProfile::default()), stops: vec![] };
            // Both begin alike, the device a little faster.
            let models = [CostModel::new(1000.0, 0.0, 0.0), CostModel::new(700.0, 0.0, 0.0)];
            let placement = StagePlacement::over("m".into(), Mode::Auto, models, 9, Candidate::Gpu(gpu));
            Scorer::chosen(device.clone(), placement, clock)
        } else {
            Scorer::named(device.clone())
        };
        let column = [0.5, f64::NAN, -3.0];
        let columns = [&column[..]; 5];
        for _ in 0..100 {
            let raw = Scorer::raw(Some(&scorer), "a digest", &model, &columns);
            assert_eq!(raw, model.raw(&columns));
        }
        let asked = device.asked.load(Ordering::Relaxed);
        assert_eq!(Scorer::predict(Some(&scorer), "a digest", &model, &columns), model.predict(&columns));
        assert_eq!(Scorer::leaves(Some(&scorer), "a digest", &model, &columns), model.leaves(&columns));
        asked
    }

    #[test]
    fn batches_go_where_they_are_faster() {
        assert!(asked(Some(-600), true) > 90);
        assert!(asked(Some(9000), true) < 20);
    }

    #[test]
    fn a_named_device_is_asked_always_and_the_processor_where_it_refuses() {
        assert_eq!(asked(Some(9000), false), 100);
        assert_eq!(asked(None, false), 100);
    }
}
