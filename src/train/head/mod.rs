//! A classifier from a handful of photographs: a linear head on what a trained network sees in them.
//!
//! A network that has seen a million photographs tells a hundred others apart better than one that has seen only those. So
//! what is learned is multinomial logistic regression on its features ([`logistic`], in few coordinates: [`basis`]), which
//! takes milliseconds, its penalty chosen inside each training part ([`fit`]). How good it is, is said by cross-validation
//! over photographs that no copy of was learned from ([`folds`]), and what is like none of them is told apart
//! ([`unknown`]).

mod basis;
pub(crate) mod fit;
pub(crate) mod folds;
pub(crate) mod logistic;
pub(crate) mod matrix;
pub(crate) mod unknown;
