//! The order of views: each after what it reads.
//!
//! For each view the views that it reads flow in; an order and the circles that prevent one flow
//! out. Views keep the order in which they were written as far as possible.

/// How far the search has come with a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Puts each view after those that it reads, and finds the circles: each begins with the view that
/// was written first and goes on with the one that it reads.
pub(super) fn order(reads: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut states = vec![State::New; reads.len()];
    let mut order = Vec::with_capacity(reads.len());
    let mut cycles = Vec::new();
    for root in 0..reads.len() {
        if states[root] != State::New {
            continue;
        }
        states[root] = State::Open;
        // The views from the root to the current one, each with how many of its reads are done.
        let mut path = vec![(root, 0)];
        while let Some((view, done)) = path.last_mut() {
            let view = *view;
            let Some(&read) = reads[view].get(*done) else {
                states[view] = State::Done;
                order.push(view);
                path.pop();
                continue;
            };
            *done += 1;
            match states[read] {
                State::New => {
                    states[read] = State::Open;
                    path.push((read, 0));
                }
                State::Open => cycles.push(cycle(&path, read)),
                State::Done => {}
            }
        }
    }
    (order, cycles)
}

/// The circle that closes where the path comes back to a view.
fn cycle(path: &[(usize, usize)], back_to: usize) -> Vec<usize> {
    let views = path.iter().map(|(view, _)| *view);
    let mut cycle = views
        .skip_while(|view| *view != back_to)
        .collect::<Vec<_>>();
    let first = cycle
        .iter()
        .enumerate()
        .min_by_key(|(_, view)| **view)
        .map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    cycle
}
