//! Labels with a closed set of values: each value has its counter from the start, at zero.
//!
//! A rate over a series that appears with its first event misses that event; so every combination that can happen is
//! created when its handles are.

use std::marker::PhantomData;

/// A label whose values are known when the program is built.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as it is written.
    fn as_str(self) -> &'static str;
    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
}

/// One metric per value of a label.
#[derive(Debug)]
pub struct PerLabel<L, M>(Box<[M]>, PhantomData<fn() -> L>);

impl<L: Label, M> PerLabel<L, M> {
    /// Makes one metric for each value.
    pub fn new(make: impl FnMut(L) -> M) -> Self {
        Self(L::ALL.iter().copied().map(make).collect(), PhantomData)
    }

    /// The metric of a value.
    pub fn get(&self, label: L) -> &M {
        // `new` made one for each value, and `index` is the position in the same list.
        &self.0[label.index()]
    }

    /// Every value with its metric.
    pub fn iter(&self) -> impl Iterator<Item = (L, &M)> {
        L::ALL.iter().copied().zip(&self.0)
    }
}

impl<L: Label> PerLabel<L, super::Counter> {
    /// Adds one.
    #[inline]
    pub fn inc(&self, label: L) {
        self.get(label).inc();
    }
}

/// Declares an enum that is a [`Label`].
macro_rules! label {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $crate::metrics::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use label;
