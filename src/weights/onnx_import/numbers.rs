//! The small sums over sizes that exporters write into a graph, worked out: how much to pad, and what to reshape to.

use super::file::{MOST_NUMBERS, Node};

/// A few numbers, as a tensor of at most two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    shape: Vec<usize>,
    values: Vec<f64>,
    /// Whether they are integers, which are divided without a rest.
    whole: bool,
}

impl Numbers {
    pub(super) fn new(shape: &[usize], values: Vec<f64>, whole: bool) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
        let fits = values.len() <= MOST_NUMBERS && shape.len() <= 2 && count == Some(values.len());
        fits.then(|| Self { shape: shape.to_vec(), values, whole })
    }

    pub(super) fn integers(values: &[i64]) -> Option<Self> {
        Self::new(&[values.len()], values.iter().map(|&value| value as f64).collect(), true)
    }

    /// The size of each dimension.
    pub(super) fn sizes(&self) -> Vec<i64> {
        self.shape.iter().map(|&side| side as i64).collect()
    }

    /// Its values, if they are integers.
    pub(super) fn whole(&self) -> Option<Vec<i64>> {
        self.whole.then(|| self.values.iter().map(|&value| value as i64).collect())
    }

    /// Its value, of one that is a number.
    pub(super) fn scalar(&self) -> Option<f64> {
        <[f64; 1]>::try_from(self.values.as_slice()).ok().map(|[value]| value)
    }

    /// Its value, of one that is an integer.
    fn one(&self) -> Option<i64> {
        self.scalar().filter(|_| self.whole).map(|value| value as i64)
    }

    fn of_shape(&self, shape: &[usize]) -> Option<Self> {
        Self::new(shape, self.values.clone(), self.whole)
    }

    fn map(&self, whole: bool, of: impl Fn(f64) -> f64) -> Option<Self> {
        Self::new(&self.shape, self.values.iter().map(|&value| of(value)).collect(), whole)
    }
}

/// What a node makes of numbers; `None` for what is none of these sums.
pub(super) fn computed(node: &Node<'_>, inputs: &[Option<Numbers>]) -> Option<Numbers> {
    let input = |at: usize| inputs.get(at)?.as_ref();
    match node.operator {
        // To 32-bit or 64-bit floats, or integers.
        "Cast" => match node.int("to")? {
            1 | 11 => input(0)?.map(false, |value| value),
            6 | 7 => input(0)?.map(true, f64::trunc),
            _ => None,
        },
        "Ceil" => input(0)?.map(false, f64::ceil),
        "Floor" => input(0)?.map(false, f64::floor),
        "Add" => each(input(0)?, input(1)?, |a, b| a + b),
        "Sub" => each(input(0)?, input(1)?, |a, b| a - b),
        "Mul" => each(input(0)?, input(1)?, |a, b| a * b),
        // From below, which is all that is asked of a padding.
        "Clip" if inputs.get(2).is_none_or(Option::is_none) => each(input(0)?, input(1)?, f64::max),
        "Max" => each(input(0)?, input(1)?, f64::max),
        "Div" if input(0)?.whole => each(input(0)?, input(1)?, |a, b| (a / b).trunc()),
        "Div" => each(input(0)?, input(1)?, |a, b| a / b),
        "Gather" => {
            let (from, places) = (input(0)?, input(1)?);
            let [count] = from.shape[..] else { return None };
            let at = |place: i64| {
                let place = if place < 0 { place.checked_add(count as i64)? } else { place };
                from.values.get(usize::try_from(place).ok()?).copied()
            };
            let values = places.whole()?.into_iter().map(at).collect::<Option<_>>()?;
            Numbers::new(&places.shape, values, from.whole)
        }
        // A number becomes a row of one, and back.
        "Unsqueeze" if input(0)?.values.len() == 1 => input(0)?.of_shape(&[1]),
        "Squeeze" if input(0)?.values.len() == 1 => input(0)?.of_shape(&[]),
        "Concat" => {
            let parts: Vec<&Numbers> = inputs.iter().map(Option::as_ref).collect::<Option<_>>()?;
            if parts.iter().any(|part| part.shape.len() != 1) {
                return None;
            }
            let whole = parts.iter().all(|part| part.whole);
            let values: Vec<f64> = parts.into_iter().flat_map(|part| part.values.iter().copied()).collect();
            Numbers::new(&[values.len()], values, whole)
        }
        "ConstantOfShape" => {
            let value = match node.tensor("value") {
                Some(tensor) => tensor.numbers()?,
                None => (vec![0.0], false),
            };
            let count = usize::try_from(input(0)?.one()?).ok().filter(|&count| count <= MOST_NUMBERS)?;
            Numbers::new(&[count], vec![*value.0.first()?; count], value.1)
        }
        "Reshape" => reshaped(input(0)?, &input(1)?.whole()?),
        "Slice" => sliced(inputs),
        "Transpose" => {
            let ([rows, columns], [1, 0]) = (&input(0)?.shape[..], node.ints("perm")?) else { return None };
            let values = &input(0)?.values;
            let at = |i: usize| values[i % rows * columns + i / rows];
            Numbers::new(&[*columns, *rows], (0..values.len()).map(at).collect(), input(0)?.whole)
        }
        _ => None,
    }
}

/// One with one, or each with a number.
fn each(a: &Numbers, b: &Numbers, sum: impl Fn(f64, f64) -> f64) -> Option<Numbers> {
    let longer = if a.values.len() >= b.values.len() { a } else { b };
    let at = |of: &Numbers, i: usize| of.values.get(if of.values.len() == 1 { 0 } else { i }).copied();
    let values = (0..longer.values.len()).map(|i| Some(sum(at(a, i)?, at(b, i)?)).filter(|value| value.is_finite()));
    Numbers::new(&longer.shape, values.collect::<Option<_>>()?, a.whole && b.whole)
}

fn reshaped(from: &Numbers, shape: &[i64]) -> Option<Numbers> {
    let known = shape.iter().filter(|&&side| side >= 0).try_fold(1i64, |known, &side| known.checked_mul(side))?;
    let rest = (from.values.len() as i64).checked_div(known)?;
    let shape = shape.iter().map(|&side| usize::try_from(if side < 0 { rest } else { side }).ok());
    from.of_shape(&shape.collect::<Option<Vec<_>>>()?)
}

/// Rows, forwards or backwards one by one.
fn sliced(inputs: &[Option<Numbers>]) -> Option<Numbers> {
    let one = |at: usize, otherwise: i64| match inputs.get(at) {
        Some(numbers) => numbers.as_ref()?.one(),
        None => Some(otherwise),
    };
    let from = inputs.first()?.as_ref()?;
    let (&rows, columns) = (from.shape.first()?, from.shape.get(1).copied().unwrap_or(1));
    let (start, end, axis, step) = (one(1, 0)?, one(2, 0)?, one(3, 0)?, one(4, 1)?);
    if axis != 0 {
        return None;
    }
    let count = rows as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(count) } else { at };
    let taken: Vec<i64> = match step {
        1 => (place(start).clamp(0, count)..place(end).clamp(0, count)).collect(),
        -1 => (place(end).clamp(-1, count - 1) + 1..=place(start).clamp(-1, count - 1)).rev().collect(),
        _ => return None,
    };
    let row = |&at: &i64| from.values[at as usize * columns..][..columns].iter().copied();
    let values: Vec<f64> = taken.iter().flat_map(row).collect();
    let shape = if from.shape.len() == 1 { vec![taken.len()] } else { vec![taken.len(), columns] };
    Numbers::new(&shape, values, from.whole)
}
