//! A list that keeps its order as long as the pointer is over it: what is under the pointer stays there, whatever the
//! network comes to think of it.

use std::collections::HashMap;

/// The rows of `shown` in their order, as `now` has them; `image` names the image of a row. New ones wait.
pub(super) fn in_order_of<T>(shown: &[T], now: Vec<T>, image: impl Fn(&T) -> u32) -> Vec<T> {
    let mut now: HashMap<u32, T> = now.into_iter().map(|row| (image(&row), row)).collect();
    shown.iter().filter_map(|row| now.remove(&image(row))).collect()
}
