//! What others keep of a device for as long as it is open, so that nothing of it needs to be static: kernels compiled, tiles
//! measured, launches counted. A device knows none of these; each is found by its type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// One value of each type.
#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The value of a type, made when it is first asked for.
    pub(crate) fn of<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default()).clone();
        value.downcast().unwrap_or_else(|_| unreachable!("each value stands under its own type"))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn everybody_finds_the_same_value_of_a_type() {
        let shared = Shared::default();
        shared.of::<AtomicU32>().store(7, Ordering::Relaxed);
        assert_eq!(shared.of::<AtomicU32>().load(Ordering::Relaxed), 7);
        assert_eq!(*shared.of::<String>(), "");
    }
}
