//! How a session begins: a new run, one from other weights, or one that goes on.

use super::{Channels, Failure, Worker, position, updates};
use crate::{
    data::Dataset,
    device::{self, Compute},
    model::{ModelSpec, Network},
    session::{
        Event, Phase, Setup, View, Weights, at_exit,
        keeper::{Keeper, Restored, Tensors},
        pace::Pace,
    },
    text,
    train::{
        batches::Feed,
        predictor,
        prefetch::{AHEAD, Prefetch},
        recipe::{self, Recipe},
        render::normalisation,
        room,
        run_folder::{DataNote, RunInfo, State},
        schedule,
        trainer::{self, Trainer},
    },
    weights::{ModelCard, adapt, is_plain_name},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a run is told whose data hold nothing to validate on.
const NO_VALIDATION: &str = "there are no validation images, so no accuracy is measured and the last weights count as \
                             the best: add images, or set validation_share";

/// The network of a new run, with what is to be said about the weights that it starts from. Those are used up.
pub(super) fn fresh_network(
    setup: &mut Setup,
    spec: &ModelSpec,
    compute: &Compute,
) -> Result<(Network, Vec<String>), Failure> {
    let (recipe, classes) = (&setup.recipe, &setup.dataset.classes);
    let imported = match setup.weights.take() {
        None => {
            let network = Network::new(spec, recipe.seed, recipe.zero_init_residual, setup.ops, &compute);
            return Ok((network, Vec::new()));
        }
        Some(Weights::Read(imported)) => *imported,
        Some(Weights::From(path)) => predictor::pretrained(&path).map_err(|e| e.to_string())?,
    };
    let adapted = adapt(imported, spec, classes, recipe.seed).map_err(|e| e.to_string())?;
    let network = trainer::network_of(spec, &adapted.tensors, setup.ops, compute).map_err(|e| e.to_string())?;
    Ok((network, adapted.notes))
}

/// Refuses before the first step what no weight file can say about a network.
fn savable(card: &ModelCard, dataset: &Dataset) -> Result<(), Failure> {
    let data = text::foreign(&dataset.spec);
    if let Some(class) = dataset.classes.iter().find(|class| !is_plain_name(class)) {
        return Err(format!(
            "{data}: no weight file can hold the class name “{}” (control characters, or over 1000 bytes): rename its \
             folder",
            text::foreign(class)
        ));
    }
    let valid = card.clone().validate();
    valid
        .map(drop)
        .map_err(|reason| format!("{data}: no weight file can say how images are prepared: {reason}; set image_size"))
}

impl Worker {
    pub(super) fn start(mut setup: Setup, channels: Channels) -> Result<Self, Failure> {
        let compute = device::open(setup.device).map_err(|e| e.to_string())?;
        let dataset = setup.dataset.clone();
        let recipe = setup.recipe.clone();
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len()).map_err(|e| e.to_string())?;
        let normalisation = normalisation(&recipe, &dataset);
        let feed = Feed::new(dataset.clone(), &recipe, &normalisation);
        let size = feed.transform().output();
        room::check_batch(&spec, &recipe, size, dataset.train.len(), setup.ops, &compute)?;
        let _prepared = trainer::prepared(&spec, &recipe, size, setup.ops, &compute);
        let mut feed = feed.on(&compute);
        let card = ModelCard {
            spec: spec.clone(),
            classes: dataset.classes.clone(),
            preprocessing: feed.transform().preprocessing(),
            validation_share: dataset.sides().map(|_| recipe.validation_share),
        };
        savable(&card, &dataset)?;
        let (mut resumed, mut restored) = if setup.resume {
            let (keeper, restored) = Keeper::resume(&setup.run_dir, &recipe).map_err(|e| e.to_string())?;
            (Some(keeper), restored)
        } else {
            (None, None)
        };
        let (mut notes, mut same_data) = (Vec::new(), true);
        if let Some(keeper) = &mut resumed
            && let Some(note) = keeper.record_data(&dataset).map_err(|e| e.to_string())?
        {
            notes.push(note.to_string());
            same_data = !matches!(note, DataNote::Changed(_));
            // Which images an epoch has left is a matter of all that it has.
            if let Some(Restored { state, .. }) =
                restored.as_mut().filter(|restored| !same_data && restored.state.batch > 0)
            {
                state.begin_epoch_anew();
                notes.push("so the epoch begins anew".to_owned());
            }
        }
        if dataset.validation.is_empty() {
            notes.push(NO_VALIDATION.to_owned());
        }
        let (state, trainer) = match restored {
            Some(Restored { state, weights, optimiser }) => {
                let network = trainer::network_of(&spec, &weights, setup.ops, &compute).map_err(|e| e.to_string())?;
                let mut trainer = Trainer::new(network, compute.clone());
                trainer.restore_optimiser(&optimiser, updates(&state), recipe.frozen_at(state.epoch));
                if state.batch > 0 && state.batch_size > 0 {
                    let begun = Recipe { batch_size: state.batch_size, ..recipe.clone() };
                    room::check_batch(&spec, &begun, size, dataset.train.len(), setup.ops, &compute)?;
                    feed = feed.with_batch_size(state.batch_size);
                }
                (state, trainer)
            }
            None => {
                let (network, adapted) = fresh_network(&mut setup, &spec, &compute)?;
                notes.extend(adapted);
                (State::default(), Trainer::new(network, compute.clone()))
            }
        };
        let keeper = match resumed {
            Some(keeper) => keeper,
            None => {
                let info =
                    RunInfo { model: spec.to_string(), pixel_rules: dataset.options.pixel_rules, ..RunInfo::default() };
                let (weights, optimiser) = (trainer.state(false), trainer.optimiser_state());
                let tensors = Tensors { card: &card, weights: &weights, optimiser: &optimiser };
                Keeper::create(&setup.run_dir, &recipe, info, &dataset, &tensors).map_err(|e| e.to_string())?
            }
        };
        let steps_per_epoch = feed.steps_per_epoch();
        let view = View {
            phase: Phase::Compiling,
            status: "Preparing kernels".into(),
            epoch: state.epoch,
            epochs: recipe.epochs,
            step: state.step,
            total_steps: schedule::total_steps(&recipe, steps_per_epoch),
            steps_per_epoch,
            images_per_s: 0.0,
            eta_s: None,
            device: compute.description.clone(),
            device_bytes: None,
            recipe: recipe.clone(),
            predictions: Arc::default(),
            validated: Arc::default(),
            confusion: None,
            // Of a new run there is none, and what was remembered by place means nothing in other data.
            memory: match same_data {
                true => Arc::new(keeper.read_memory(state.epoch, [dataset.train.len(), dataset.validation.len()])),
                false => Arc::default(),
            },
        };
        let now = Instant::now();
        let mut worker = Self {
            feed: Prefetch::new(feed, position(&state), AHEAD),
            recipe,
            trainer,
            card,
            keeper,
            view,
            kept: VecDeque::new(),
            pending: Vec::new(),
            paused: false,
            stopping: false,
            pace: Pace::new(),
            last_save: now,
            save_took: Duration::ZERO,
            last_look: now,
            look_took: Duration::ZERO,
            unwritten: None,
            snapshots_fail: false,
            _prepared,
            _saved_at_exit: at_exit::Guard::new(channels.own.clone()),
            state,
            setup,
            channels,
        };
        worker.publish();
        if worker.setup.resume {
            worker.say(Event::Resumed {
                step: worker.state.step,
                epoch: worker.state.epoch,
                from_branch: worker.keeper.branch(),
                snapshot: None,
                device: compute.description.clone(),
            });
            // A restart may come with changes, such as more epochs; before the first checkpoint there is no state to
            // differ from.
            let before = if worker.state.step > 0 { worker.state.recipe.clone() } else { worker.recipe.clone() };
            for change in recipe::diff(&before, &worker.recipe) {
                let (key, step) = (change.field.key.to_owned(), worker.state.step);
                worker.say(Event::Changed { step, key, from: change.a, to: change.b });
            }
            let written = worker.keeper.write_due();
            worker.note_write(written);
        } else {
            worker.say(Event::Started {
                step: 0,
                data: dataset.name.clone(),
                classes: dataset.classes.clone(),
                train_images: dataset.train.len() as u64,
                validation_images: dataset.validation.len() as u64,
                model: spec.to_string(),
                parameters: spec.parameters() as u64,
                device: compute.description.clone(),
                steps_per_epoch,
                recipe: Box::new(worker.recipe.clone()),
            });
        }
        for note in notes {
            worker.warn(note);
        }
        worker.note_precision();
        worker.phase(Phase::Compiling, "Preparing kernels");
        Ok(worker)
    }
}
