//! Whether what a session will find can be written.

use super::SessionError;
use crate::{
    data::Dataset,
    weights::{ModelCard, is_plain_name},
};

/// Refuses before the first step what no weight file can say about a network.
pub(super) fn check_savable(card: &ModelCard, dataset: &Dataset) -> Result<(), SessionError> {
    let data = dataset.spec.clone();
    if let Some(class) = dataset.classes.iter().find(|class| !is_plain_name(class)) {
        return Err(SessionError::ClassName { data, class: class.clone() });
    }
    let valid = card.clone().validate();
    valid.map(drop).map_err(|reason| SessionError::Card { data, reason })
}
