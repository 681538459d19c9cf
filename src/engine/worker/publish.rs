//! From what dataflows found to what the catalog is told.
//!
//! Changes of complete epochs flow in from each dataflow, in order of the dataflows: each is handed
//! to the later ones that read it before they are looked at. An epoch is delivered when all
//! dataflows that have joined have completed it.

use crossbeam_channel::TrySendError;

use super::flow::{Changes, Flow};
use super::{Job, Publishing};
use crate::catalog::{Delivery, EpochChanges};
use crate::delta::{Delta, Time};

impl Job<'_> {
    /// Hands the changes of complete epochs on, to dataflows and to the catalog.
    pub(super) fn publish(&mut self) {
        if !self.deliver() {
            return;
        }
        for at in 0..self.flows.len() {
            self.settle(at);
        }
        let ends = self.inputs.is_none();
        for flow in &mut self.flows {
            if flow.may_join(self.published) || (ends && !flow.joined) {
                flow.joined = true;
            }
        }
        let joined = self.flows.iter().filter(|flow| flow.joined);
        let next = joined.map(|flow| flow.done).min().unwrap_or(Time::MAX);
        let next = next.max(self.published);
        // One that was behind when it joined is waited for first.
        let caught_up = self.flows.iter_mut();
        for flow in
            caught_up.filter(|flow| flow.joined && !flow.is_told && flow.has_caught_up(next))
        {
            flow.is_told = true;
            self.joins.extend(&flow.places);
        }
        if next == self.published && self.joins.is_empty() {
            return;
        }
        let later = self.ready.split_off(&next);
        let due = std::mem::replace(&mut self.ready, later);
        match &self.shared.publishing {
            Publishing::AtTheEnd(shards) => {
                for (output, delta) in due.into_values().flatten() {
                    shards.apply(output, self.index, &[delta]);
                }
            }
            Publishing::EachEpoch(_) => self.undelivered = Some(self.delivery(next, due)),
        }
        self.published = next;
        self.deliver();
    }

    /// Hands on what a dataflow has completed since last time.
    fn settle(&mut self, at: usize) {
        let (flow, later) = self.flows[at..]
            .split_first_mut()
            .expect("there is a dataflow at its own place");
        let next = flow.frontier();
        if next <= flow.done {
            return;
        }
        for (time, changes) in flow.take_before(next) {
            if !self.taps.is_empty() || !later.is_empty() {
                for (place, delta) in &changes {
                    for tap in self.taps.values_mut() {
                        if tap.places.contains(place) {
                            let put_by = tap.changes.entry(time).or_default();
                            put_by.push((*place, delta.clone()));
                        }
                    }
                    let readers = self.readers.get(place);
                    give(later, readers.map_or(&[], Vec::as_slice), *place, delta);
                }
            }
            self.ready.entry(time).or_default().extend(changes);
        }
        flow.done = next;
        let feeds = later.iter_mut().flat_map(|reader| &mut reader.feeds);
        let number = flow.number;
        feeds
            .filter(|feed| feed.flow == number)
            .for_each(|feed| feed.advance(next));
    }

    /// The changes of complete epochs, as the catalog takes them.
    fn delivery(&mut self, before: Time, due: Changes) -> Delivery {
        let deltas = due.into_values().flatten();
        let shown = &self.shown;
        let changes = deltas.filter_map(|(view, delta)| {
            Some(EpochChanges {
                time: delta.time,
                view,
                rows: shown.get(&view)?.encode(&delta.batch),
                diffs: delta.diffs,
            })
        });
        Delivery {
            worker: self.index,
            before,
            changes: changes.collect(),
            joined: std::mem::take(&mut self.joins),
        }
    }

    /// Hands over what waits to be published; whether nothing is left.
    fn deliver(&mut self) -> bool {
        let Publishing::EachEpoch(sender) = &self.shared.publishing else {
            return true;
        };
        let Some(delivery) = self.undelivered.take() else {
            return true;
        };
        match sender.try_send(delivery) {
            Ok(()) => true,
            Err(TrySendError::Full(delivery)) => {
                self.undelivered = Some(delivery);
                false
            }
            // The thread that publishes is dead, and with it the engine.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

/// Gives a change to the dataflows that read its place.
fn give(flows: &mut [Flow], readers: &[usize], place: usize, delta: &Delta) {
    if readers.is_empty() {
        return;
    }
    for flow in flows.iter_mut().filter(|f| readers.contains(&f.number)) {
        let feeds = flow.feeds.iter_mut();
        feeds
            .filter(|feed| feed.place == place)
            .for_each(|feed| feed.give(delta.clone()));
    }
}
