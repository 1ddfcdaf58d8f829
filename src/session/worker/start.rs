//! How a session begins: a new run, one from other weights, or one that goes on.

use super::{Occasions, Worker, position};
use crate::{
    data::LoadOptions,
    device::{self, Compute},
    model::{ModelSpec, Network},
    session::{
        Event, Phase, SessionError, Setup, Weights, at_exit,
        message::Channels,
        pace::Pace,
        run_writer::{Restored, RunWriter, Tensors},
        savable::check_savable,
        view::Shown,
    },
    train::{
        batches::Feed,
        normalisation, predictor,
        prefetch::{BATCHES_AHEAD, Prefetch},
        recipe::{self, Recipe},
        room,
        run_folder::{DataNote, RunInfo, RunState},
        trainer::{self, Trainer},
    },
    weights::{ModelCard, adapt},
};
use std::{collections::VecDeque, rc::Rc, sync::Arc};

/// What a run is told whose data hold nothing to validate on.
const NO_VALIDATION: &str = "there are no validation images, so no accuracy is measured and the last weights count as \
                             the best: add images, or set validation_share";

/// The network of a new run, with what is to be said about the weights that it starts from. Those are used up.
pub(super) fn fresh_network(
    setup: &mut Setup,
    spec: &ModelSpec,
    compute: &Compute,
) -> Result<(Network, Vec<String>), SessionError> {
    let (recipe, classes) = (&setup.recipe, &setup.dataset.classes);
    let imported = match setup.weights.take() {
        None => {
            let network = Network::new(spec, recipe.seed, recipe.zero_init_residual, setup.ops, compute);
            return Ok((network, Vec::new()));
        }
        Some(Weights::Read(imported)) => *imported,
        Some(Weights::From(path)) => predictor::pretrained(&path)?,
    };
    let adapted = adapt(imported, spec, classes, recipe.seed)?;
    let network = trainer::network_of(spec, &adapted.tensors, setup.ops, compute)?;
    Ok((network, adapted.notes))
}

/// A run that goes on.
struct Resumed {
    writer: RunWriter,
    /// `None` where it was killed before its first checkpoint.
    restored: Option<Restored>,
    /// Whether its data are what they were.
    same_data: bool,
}

impl Resumed {
    /// Opens the run's folder, with what is to be said about its data.
    fn open(setup: &Setup, notes: &mut Vec<String>) -> Result<Self, SessionError> {
        let (mut writer, mut restored) = RunWriter::resume(&setup.run_dir, &setup.recipe)?;
        let Some(note) = writer.record_data(&setup.dataset)? else {
            return Ok(Self { writer, restored, same_data: true });
        };
        notes.push(note.to_string());
        let same_data = !matches!(note, DataNote::Changed(_));
        // Which images an epoch has left is a matter of all that it has.
        if let Some(Restored { state, .. }) =
            restored.as_mut().filter(|restored| !same_data && restored.state.batch > 0)
        {
            state.begin_epoch_anew();
            notes.push("so the epoch begins anew".to_owned());
        }
        Ok(Self { writer, restored, same_data })
    }
}

/// What trains a network that goes on from where it was. In the middle of an epoch the feed keeps its batch size.
fn restored_trainer(
    restored: Restored,
    setup: &Setup,
    spec: &ModelSpec,
    feed: &mut Feed,
    compute: &Compute,
) -> Result<(RunState, Trainer), SessionError> {
    let Restored { state, weights, optimiser } = restored;
    let network = trainer::network_of(spec, &weights, setup.ops, compute)?;
    let mut trainer = Trainer::new(network);
    trainer.restore_optimiser(&optimiser, state.extra.updates, setup.recipe.frozen_at(state.epoch));
    if state.batch > 0 && state.batch_size > 0 {
        let begun = Recipe { batch_size: state.batch_size, ..setup.recipe.clone() };
        room::check_batch(spec, &begun, feed.transform().output(), feed.split().len(), setup.ops, compute)?;
        *feed = feed.with_batch_size(state.batch_size);
    }
    Ok((state, trainer))
}

/// What training begins with, and a search for a learning rate: the device has room for a batch of these.
pub(super) struct Beginning {
    pub compute: Compute,
    pub spec: ModelSpec,
    pub feed: Feed,
}

impl Beginning {
    pub(super) fn of(setup: &Setup) -> Result<Self, SessionError> {
        let compute = device::open(setup.device)?;
        let Setup { dataset, recipe, .. } = setup;
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len())?;
        let feed = Feed::new(dataset.clone(), recipe, &normalisation(recipe, dataset));
        let size = feed.transform().output();
        room::check_batch(&spec, recipe, size, dataset.train.len(), setup.ops, &compute)?;
        Ok(Self { compute, spec, feed })
    }
}

/// The folder of a new run.
fn new_writer(setup: &Setup, card: &ModelCard, trainer: &Trainer) -> Result<RunWriter, SessionError> {
    let &LoadOptions { pixel_rules, size_rules, .. } = &setup.dataset.options;
    let info = RunInfo { model: card.spec.to_string(), pixel_rules, size_rules, ..RunInfo::default() };
    let (weights, optimiser) = (trainer.state(false), trainer.optimiser_state());
    let tensors = Tensors { card, weights: &weights, optimiser: &optimiser };
    Ok(RunWriter::create(&setup.run_dir, &setup.recipe, info, &setup.dataset, &tensors)?)
}

impl Worker {
    pub(super) fn start(mut setup: Setup, channels: Rc<Channels>) -> Result<Self, SessionError> {
        let Beginning { compute, spec, feed } = Beginning::of(&setup)?;
        let (dataset, recipe) = (setup.dataset.clone(), setup.recipe.clone());
        let _prepared = trainer::prepared(&spec, &recipe, feed.transform().output(), setup.ops, &compute);
        let mut feed = feed.on(&compute);
        let card = ModelCard {
            spec: spec.clone(),
            classes: dataset.classes.clone(),
            preprocessing: feed.transform().preprocessing(),
            validation_share: dataset.sides().map(|_| recipe.validation_share),
            head: None,
        };
        check_savable(&card, &dataset)?;
        let mut notes = Vec::new();
        let resumed = if setup.resume { Some(Resumed::open(&setup, &mut notes)?) } else { None };
        if dataset.validation.is_empty() {
            notes.push(NO_VALIDATION.to_owned());
        }
        let (writer, restored, same_data) = match resumed {
            Some(Resumed { writer, restored, same_data }) => (Some(writer), restored, same_data),
            None => (None, None, true),
        };
        let (state, trainer) = match restored {
            Some(restored) => restored_trainer(restored, &setup, &spec, &mut feed, &compute)?,
            None => {
                let (network, adapted) = fresh_network(&mut setup, &spec, &compute)?;
                notes.extend(adapted);
                (RunState::default(), Trainer::new(network))
            }
        };
        let writer = writer.map_or_else(|| new_writer(&setup, &card, &trainer), Ok)?;
        // Of a new run there is none, and what was remembered by place means nothing in other data.
        let memory = match same_data {
            true => Arc::new(writer.read_memory(state.epoch, [dataset.train.len(), dataset.validation.len()])),
            false => Arc::default(),
        };
        let mut worker = Self {
            shown: Shown { memory, ..Shown::default() },
            feed: Prefetch::new(feed, position(&state), BATCHES_AHEAD),
            recipe,
            trainer,
            card,
            writer,
            kept: VecDeque::new(),
            pending: Vec::new(),
            paused: false,
            stopping: false,
            pace: Pace::new(),
            occasions: Occasions::default(),
            unwritten: None,
            snapshots_fail: false,
            _prepared,
            _saved_at_exit: at_exit::Guard::new(channels.own.clone()),
            state,
            setup,
            channels,
        };
        worker.introduce(notes);
        Ok(worker)
    }

    /// The first events: how the run begins or goes on, and what is to be said about it.
    fn introduce(&mut self, notes: Vec<String>) {
        self.publish();
        let device = self.trainer.compute().description.clone();
        let step = self.state.step;
        if self.setup.resume {
            let (epoch, from_branch) = (self.state.epoch, self.writer.branch());
            self.emit(Event::Resumed { step, epoch, from_branch, snapshot: None, device });
            // A restart may come with changes, such as more epochs; before the first checkpoint there is no state to
            // differ from.
            let before = if step > 0 { self.state.recipe.clone() } else { self.recipe.clone() };
            for change in recipe::diff(&before, &self.recipe) {
                self.emit(Event::Changed { step, key: change.field.key.to_owned(), from: change.a, to: change.b });
            }
            let written = self.writer.write_due();
            self.note_write(written);
        } else {
            let (dataset, spec) = (self.setup.dataset.clone(), &self.card.spec);
            self.emit(Event::Started {
                step: 0,
                data: dataset.name.clone(),
                classes: dataset.classes.clone(),
                train_images: dataset.train.len() as u64,
                validation_images: dataset.validation.len() as u64,
                model: spec.to_string(),
                parameters: spec.parameters() as u64,
                device,
                steps_per_epoch: self.feed.feed().steps_per_epoch(),
                recipe: Box::new(self.recipe.clone()),
            });
        }
        for note in notes {
            self.warn(note);
        }
        self.note_precision();
        self.phase(Phase::Compiling, "Preparing kernels");
    }
}
