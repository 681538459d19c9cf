//! Operators over an arrangement that answer a group at a time.
//!
//! An arrangement flows in; whenever a group's rows change, the logic is shown the group's rows at
//! that time and before it, in order, and says which rows it answers. What changed between the two
//! answers flows out. The logic reads as far as it needs: the first rows of a group cost no more in
//! a big group than in a small one.

use std::rc::Rc;

use differential_dataflow::trace::cursor::{Cursor, CursorList, cursor_list};
use differential_dataflow::trace::{BatchCursor, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::CapabilitySet;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{ArrangedRows, RowTrace};
use super::flow::Exit;
use super::{Deltas, Outcome, Outcomes};
use crate::delta::{Delta, Diff, Time};
use crate::row::RowBatch;

/// A group's rows, read in order.
pub(super) struct Group<'a> {
    cursor: &'a mut CursorList<BatchCursor<RowTrace>>,
    storage: &'a Vec<Rc<RowBatch>>,
    time: Time,
    is_present: bool,
}

/// A row of a group: its bytes, how often it was there before, and how often it is there now.
pub(super) struct GroupRow<'a> {
    /// The encoded row.
    pub(super) row: &'a [u8],
    /// Its multiplicity before the time at hand.
    pub(super) before: Diff,
    /// Its multiplicity at the time at hand.
    pub(super) now: Diff,
}

impl Group<'_> {
    /// The next row that is there before or now; `None` after the last.
    pub(super) fn next(&mut self) -> Option<GroupRow<'_>> {
        if !self.is_present {
            return None;
        }
        loop {
            self.cursor.get_val(self.storage)?;
            let (mut before, mut now) = (0, 0);
            let at = self.time;
            self.cursor.map_times(self.storage, |time, diff| {
                if *time <= at {
                    now += *diff;
                }
                if *time < at {
                    before += *diff;
                }
            });
            let row = self.cursor.get_val(self.storage)?;
            self.cursor.step_val(self.storage);
            if before != 0 || now != 0 {
                return Some(GroupRow { row, before, now });
            }
        }
    }
}

/// What a room does with the groups that change.
pub(super) trait GroupLogic: 'static {
    /// A group has changed at `time`.
    fn change(&mut self, key: &[u8], group: &mut Group<'_>, time: Time);
    /// All groups that changed by the end of a batch have been shown: what flows out.
    fn finish(&mut self, outcomes: &mut Vec<Outcome>);
}

/// Renders `logic` over an arrangement.
pub(super) fn on_change<'scope, L: GroupLogic>(
    arranged: ArrangedRows<'scope>,
    name: &'static str,
    logic: L,
) -> Outcomes<'scope> {
    Outcomes::of(move |exit| changes(arranged, name, logic, exit))
}

fn changes<'scope, L: GroupLogic>(
    arranged: ArrangedRows<'scope>,
    name: &str,
    mut logic: L,
    exit: Exit,
) -> Deltas<'scope> {
    let mut trace = arranged.trace;
    arranged
        .stream
        // Told of its frontier, it lets the arrangement merge its batches even if no row ever comes.
        .unary_frontier::<CapacityContainerBuilder<Vec<Delta>>, _, _, _>(
            Pipeline,
            name,
            move |_capability, _info| {
                let mut upper = Antichain::from_elem(Time::MIN);
                let (mut outcomes, mut rows) = (Vec::new(), Vec::new());
                move |(input, _frontier), output| {
                    let mut capabilities = CapabilitySet::new();
                    let mut batches = Vec::new();
                    input.for_each(|capability, spans| {
                        for capability in capability.retain_stamp(0).iter() {
                            capabilities.insert(capability.clone());
                        }
                        for span in spans.drain(..) {
                            upper.clone_from(span.upper());
                            batches.extend(span.inner);
                        }
                    });
                    if !batches.is_empty() {
                        show_changes(&mut trace, &upper, batches, &mut logic);
                        logic.finish(&mut outcomes);
                        exit.pass(&mut outcomes, &mut rows);
                        if !rows.is_empty() {
                            output.session(&capabilities).give_container(&mut rows);
                            rows.clear();
                        }
                    }
                    trace.advance_upper(&mut upper);
                    // What was there just before the next time must stay apart from what comes then.
                    let since: Antichain<Time> =
                        upper.iter().map(|time| time.saturating_sub(1)).collect();
                    trace.set_logical_compaction(since.borrow());
                    trace.set_physical_compaction(upper.borrow());
                }
            },
        )
}

fn show_changes<L: GroupLogic>(
    trace: &mut RowTrace,
    upper: &Antichain<Time>,
    batches: Vec<Rc<RowBatch>>,
    logic: &mut L,
) {
    let all = trace
        .batches_through(upper.borrow())
        .expect("an operator holds its trace open up to what it has read");
    let (mut whole, whole_storage) = cursor_list(all);
    let (mut fresh, fresh_storage) = cursor_list(batches);
    let mut times: Vec<Time> = Vec::new();
    while let Some(key) = fresh.get_key(&fresh_storage) {
        times.clear();
        while fresh.val_valid(&fresh_storage) {
            fresh.map_times(&fresh_storage, |time, _| times.push(*time));
            fresh.step_val(&fresh_storage);
        }
        times.sort_unstable();
        times.dedup();
        whole.seek_key(&whole_storage, key);
        let is_present = whole.get_key(&whole_storage) == Some(key);
        for time in &times {
            if is_present {
                whole.rewind_vals(&whole_storage);
            }
            let mut group = Group {
                cursor: &mut whole,
                storage: &whole_storage,
                time: *time,
                is_present,
            };
            logic.change(key, &mut group, *time);
        }
        fresh.step_key(&fresh_storage);
    }
}
