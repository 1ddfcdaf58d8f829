//! What a run that rests knows: its best weights on the validation images, as the session that trained it showed them.

use super::{Phase, Prediction, Predictions, SessionError, View};
use crate::{
    data::{Dataset, Split},
    device::{self, Choice},
    ops::Implementation,
    train::{
        Feed, RunFolder,
        batches::ranges,
        inference, memory_file,
        metrics::{Evaluation, softmax},
        normalisation, predictor,
        run_folder::Folds,
        schedule,
        trainer::network_of,
    },
};
use std::{ops::Range, path::Path, sync::Arc};

/// Evaluates the best weights of the run in `folder`, which were reached after `step` updates, on the validation images of
/// its data. `go_on` is told how many are done and of how many, and may end it: then there is nothing.
///
/// # Errors
/// Where the run, its weights or the device can't be opened, or the network has other classes than the data.
pub(crate) fn evaluate(
    folder: &Path,
    dataset: &Arc<Dataset>,
    device: Choice,
    step: u64,
    go_on: impl Fn(usize, usize) -> bool,
) -> Result<Option<View>, SessionError> {
    let run = RunFolder::open(folder)?;
    let recipe = run.read_recipe()?;
    let state = run.last()?.map(|last| last.state).unwrap_or_default();
    let imported = predictor::import(folder)?;
    if imported.card.classes != dataset.classes {
        return Err(SessionError::OtherData(folder.to_owned()));
    }
    let compute = device::open(device)?;
    let network = network_of(&imported.card.spec, &imported.tensors, Implementation::default(), &compute)?;
    let feed = Feed::new(dataset.clone(), &recipe, &normalisation(&recipe, dataset));
    let (split, folds) = (&dataset.validation, run.read_folds()?);
    let mut evaluation = Evaluation::new(dataset.classes.len());
    let mut items = Vec::with_capacity(split.len());
    for range in ranges(split.len(), recipe.eval_batch) {
        let logits =
            unseen(&folds, split, range.clone()).unwrap_or_else(|| inference::validate(&network, &feed, range.clone()));
        evaluation.add(range.start as u32, &logits, &split.labels[range.clone()]);
        let rows = logits.chunks(dataset.classes.len()).zip(range.start as u32..);
        items.extend(rows.map(|(row, index)| Prediction { index, probabilities: softmax(row) }));
        if !go_on(range.end, split.len()) {
            return Ok(None);
        }
    }
    let predictions = Arc::new(Predictions { step, items });
    let images = [dataset.train.len(), split.len()];
    let memory = memory_file::read(&run.memory_path(), state.branch, state.epoch, images).unwrap_or_default();
    let steps_per_epoch = feed.steps_per_epoch();
    Ok(Some(View {
        phase: Phase::Stopped,
        status: if state.finished { "Finished" } else { "Stopped" }.to_owned(),
        epoch: state.epoch,
        epochs: recipe.epochs,
        step: state.step,
        total_steps: schedule::total_steps(&recipe, steps_per_epoch),
        steps_per_epoch,
        images_per_s: 0.0,
        eta_s: None,
        device: compute.description.clone(),
        device_bytes: None,
        recipe,
        predictions: predictions.clone(),
        validated: predictions,
        confusion: Some(Arc::new(evaluation.confusion.clone())),
        memory: Arc::new(memory),
        head: None,
    }))
}

/// What heads of folds said of the images of a range, where they had not seen any of them: that counts, not what the one says
/// that stays.
fn unseen(folds: &Folds, split: &Split, range: Range<usize>) -> Option<Vec<f32>> {
    let rows: Option<Vec<&[f32]>> = range.map(|index| folds.of(split, index)).collect();
    rows.map(|rows| rows.concat())
}
