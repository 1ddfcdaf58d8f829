//! How a session of a head begins.

use super::{Desk, HeadSession};
use crate::{
    device,
    model::ModelSpec,
    session::{
        Event, Phase, SessionError, Setup, View, Weights, at_exit,
        message::Channels,
        run_writer::{Restored, RunWriter, Tensors},
        savable::check_savable,
    },
    train::{
        Feed, normalisation, predictor, recipe, room,
        run_folder::{RunInfo, RunState},
        sight::Sight,
        trainer,
    },
    weights::{self, HostTensor, ModelCard, StateDict, adapt},
};
use std::{collections::VecDeque, path::Path};

/// The network that looks, with a head that is none yet; and what there is to say about it. A run that goes on has its own.
fn network(
    setup: &mut Setup,
    spec: &ModelSpec,
    restored: Option<StateDict>,
) -> Result<(StateDict, Vec<String>), SessionError> {
    if let Some(mut tensors) = restored {
        // There may be other classes since.
        for (name, shape) in
            spec.head_tensors().into_iter().zip([vec![spec.classes, spec.features()], vec![spec.classes]])
        {
            tensors.insert(name, HostTensor::full(shape, 0.0));
        }
        return Ok((tensors, Vec::new()));
    }
    let (pretrained, quiet) = match setup.weights.take() {
        Some(Weights::Read(pretrained)) => (*pretrained, false),
        Some(Weights::From(path)) => (predictor::pretrained(&path)?, false),
        None => {
            let bundled = predictor::pretrained(Path::new(weights::BUNDLED))?;
            if bundled.spec().backbone() != spec.backbone() {
                return Err(SessionError::NothingSeen(spec.backbone()));
            }
            (bundled, true)
        }
    };
    let adapted = adapt(pretrained, spec, &setup.dataset.classes, setup.recipe.seed)?;
    // That there will be another head goes without saying.
    let notes = adapted.notes.into_iter().filter(|note| !quiet && !note.starts_with("head:"));
    Ok((adapted.tensors, notes.collect()))
}

impl HeadSession {
    pub(super) fn start(mut setup: Setup, channels: Channels) -> Result<Self, SessionError> {
        let compute = device::open(setup.device)?;
        let (dataset, recipe) = (setup.dataset.clone(), setup.recipe.clone());
        let spec = recipe.spec(dataset.train.channels, dataset.classes.len())?;
        let normalisation = normalisation(&recipe, &dataset);
        let feed = Feed::new(dataset.clone(), &recipe, &normalisation);
        room::check_image(&spec, feed.transform().output(), &compute)?;
        let card = ModelCard {
            spec: spec.clone(),
            classes: dataset.classes.clone(),
            preprocessing: feed.transform().preprocessing(),
            validation_share: None,
            head: None,
        };
        check_savable(&card, &dataset)?;
        let (resumed, restored) = match setup.resume {
            true => {
                let (mut writer, restored) = RunWriter::resume(&setup.run_dir, &recipe)?;
                writer.record_images(&dataset)?;
                (Some(writer), restored)
            }
            false => (None, None),
        };
        let (state, weights) = match restored {
            Some(Restored { state, weights, .. }) => (state, Some(weights)),
            None => (RunState::default(), None),
        };
        let (tensors, notes) = network(&mut setup, &spec, weights)?;
        let seeing = trainer::network_of(&spec, &tensors, setup.ops, &compute)?;
        let sight = Sight::new(seeing, &recipe, normalisation, &tensors);
        let writer = match resumed {
            Some(writer) => writer,
            None => {
                let options = &dataset.options;
                let (pixel_rules, size_rules) = (options.pixel_rules, options.size_rules);
                let info = RunInfo { model: spec.to_string(), pixel_rules, size_rules, ..RunInfo::default() };
                let first = Tensors { card: &card, weights: &tensors, optimiser: &StateDict::new() };
                RunWriter::create(&setup.run_dir, &recipe, info, &dataset, &first)?
            }
        };
        let view = View {
            step: state.step,
            epoch: state.epoch,
            epochs: state.epoch + 1,
            device: compute.description.clone(),
            ..View::before(&setup)
        };
        let (guard, wake) = (at_exit::Guard::new(channels.own.clone()), setup.wake.clone());
        let (waiting, answers, unwritten) = (VecDeque::new(), None, None);
        let desk = Desk { channels, writer, view, waiting, answers, unwritten, wake };
        let mut session = Self {
            found_on: None,
            setup,
            desk,
            sight,
            tensors,
            card,
            state,
            stopping: false,
            unsaved: None,
            said: Vec::new(),
            _saved_at_exit: guard,
        };
        session.introduce(notes);
        Ok(session)
    }

    fn introduce(&mut self, notes: Vec<String>) {
        let (dataset, device, step) = (self.setup.dataset.clone(), self.desk.view.device.clone(), self.state.step);
        if self.setup.resume {
            let (epoch, from_branch) = (self.state.epoch, self.desk.writer.branch());
            self.desk.emit(Event::Resumed { step, epoch, from_branch, snapshot: None, device });
            let before = if step > 0 { self.state.recipe.clone() } else { self.setup.recipe.clone() };
            for change in recipe::diff(&before, &self.setup.recipe) {
                let key = change.field.key.to_owned();
                self.desk.emit(Event::Changed { step, key, from: change.a, to: change.b });
            }
        } else {
            let recipe = Box::new(self.setup.recipe.clone());
            let spec = &self.card.spec;
            let validation = if dataset.has_folds() { 0 } else { dataset.validation.len() };
            self.desk.emit(Event::Started {
                step,
                data: dataset.name.clone(),
                classes: dataset.classes.clone(),
                train_images: dataset.train.len() as u64,
                validation_images: validation as u64,
                model: spec.to_string(),
                parameters: spec.parameters() as u64,
                device,
                steps_per_epoch: 1,
                recipe,
            });
        }
        notes.into_iter().for_each(|note| self.desk.warn(note));
        self.desk.phase(Phase::Compiling, "Preparing kernels");
    }
}
