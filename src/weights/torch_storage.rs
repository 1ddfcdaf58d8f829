//! The storages of a PyTorch file, which its tensors are views of.

use super::{entry::Dtype, error::Problem};
use crate::{data::pickle::Value, text};

/// A storage as a pickle refers to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef<'p> {
    pub key: &'p str,
    /// What its elements are, where the tensors in it do not say otherwise.
    pub dtype: Dtype,
    /// Number of elements.
    pub count: usize,
    /// Bytes of each.
    width: usize,
}

impl<'p> StorageRef<'p> {
    /// Bytes it takes.
    pub(crate) fn size(&self) -> Result<usize, Problem> {
        self.count.checked_mul(self.width).ok_or_else(|| broken(format!("storage {} is too large", self.name())))
    }

    /// The key, fit for a message.
    pub(crate) fn name(&self) -> String {
        text::foreign(self.key)
    }

    /// Whether a persistent reference is to a storage; old files refer so to the source text of modules, too.
    pub(crate) fn is_one(id: Value<'_, '_>) -> bool {
        id.item(0).and_then(Value::as_str) == Some("storage")
    }

    /// Understands `("storage", torch.FloatStorage, key, device, count)`.
    pub(crate) fn from_persistent(id: Value<'p, '_>) -> Result<Self, Problem> {
        let parts = || {
            if !Self::is_one(id) {
                return None;
            }
            let (_, kind) = id.item(1)?.global()?;
            Some((kind, id.item(2)?.as_str()?, id.item(4)?.as_usize()?))
        };
        let (kind, key, count) = parts().ok_or_else(|| broken("a storage is not described as PyTorch does"))?;
        // Old files can have several tensors' views of one storage spelled out here.
        if id.item(5).is_some_and(|view| !view.is_none()) {
            return Err(Problem::Unsupported("saved by a PyTorch before 0.4; save it again with a newer one".into()));
        }
        let (dtype, width) = match kind {
            "QInt8Storage" => (Dtype::Unread("qint8"), 1),
            "QUInt8Storage" => (Dtype::Unread("quint8"), 1),
            "QInt32Storage" => (Dtype::Unread("qint32"), 4),
            "ComplexFloatStorage" => (Dtype::Unread("complex64"), 8),
            "ComplexDoubleStorage" => (Dtype::Unread("complex128"), 16),
            _ => {
                let dtype = match kind {
                    "HalfStorage" => Dtype::F16,
                    "BFloat16Storage" => Dtype::Bf16,
                    "FloatStorage" => Dtype::F32,
                    "DoubleStorage" => Dtype::F64,
                    "BoolStorage" | "ByteStorage" | "CharStorage" | "UntypedStorage" => Dtype::Integer(1),
                    "ShortStorage" => Dtype::Integer(2),
                    "IntStorage" => Dtype::Integer(4),
                    "LongStorage" => Dtype::Integer(8),
                    _ => {
                        let kind = text::foreign(kind);
                        return Err(Problem::Unsupported(format!("it has values of type `{kind}`, which is not read")));
                    }
                };
                (dtype, dtype.size())
            }
        };
        Ok(Self { key, dtype, count, width })
    }
}

/// What is wrong with the file that holds them.
pub(super) fn broken(what: impl AsRef<str>) -> Problem {
    Problem::broken("PyTorch", what)
}
