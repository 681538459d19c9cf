//! Decisions read from a list of numbers.
//!
//! A whole case is a function of a few lists of random numbers, and so a smaller case is found by
//! shortening the lists and lowering the numbers: option zero is the simplest one everywhere, and a
//! list that is used up decides for it from then on.

/// The decisions that are left.
pub struct Choices<'a>(std::slice::Iter<'a, u16>);

impl<'a> Choices<'a> {
    pub fn new(numbers: &'a [u16]) -> Self {
        Self(numbers.iter())
    }

    /// One of `0..options`.
    pub fn pick(&mut self, options: usize) -> usize {
        self.0
            .next()
            .map_or(0, |number| usize::from(*number) * options / (1 << 16))
    }

    /// Whether something happens that happens once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.pick(times) == times - 1
    }

    /// One of some options.
    pub fn of<T: Clone>(&mut self, options: &[T]) -> T {
        options[self.pick(options.len())].clone()
    }
}
