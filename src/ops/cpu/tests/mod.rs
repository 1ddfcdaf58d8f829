//! Every operation against a plain double-precision reference, at every instruction set of this processor.

mod conv;
mod folded;
mod reference;
mod small;
