//! What a free worker does next in a live run: history and live inputs, side by side.
//!
//! Blocks of files that end and pieces that sources hand over flow in; tasks flow out, all of the
//! epoch that is open. History and live inputs take turns, so neither starves the other. A table
//! that says itself which rows stand (a primary key, dedup) takes its live records only after all
//! of its history, since the later record wins: until then its live inputs wait, and with them
//! their senders. An epoch takes so many blocks and no more; then workers wait until it is closed.
//!
//! Once files have been read, records wait in their queues until the open epoch is due ([`Pace`]).
//! Then they are taken at once, each input as one block however it trickled in, and the epoch is
//! closed by the worker that finds no more. A queue that fills up is emptied before. While files
//! are read, and when workers have nothing to do, the clock closes epochs.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::clock::Pace;
use super::feed::{FIRST_EPOCH, Feed, Task, Turn};
use super::live_source::LiveSource;
use super::live_state::{EPOCH_BLOCKS, FIRST_LIVE_BLOCK, State};
use super::reading::Reading;
use super::report::{InputCounts, InputKind, InputReport, InputState, RunState};
use super::write::{Write, Writes};
use crate::calendar::now_ms;
use crate::delta::Time;
use crate::source::{Block, Blocks, Next, OpenInput};

/// How long an epoch takes records once it is due.
const LONGEST_TAKE: Duration = Duration::from_millis(5);

/// Tasks of a live run.
pub(super) struct LiveFeed {
    history: Option<Arc<Blocks>>,
    history_inputs: Vec<HistoryInput>,
    state: Mutex<State>,
    pace: OnceLock<Pace>,
    clock: OnceLock<Thread>,
}

/// What became of an epoch that may be due.
pub(super) enum Closing {
    /// It is closed.
    Closed,
    /// It is to be looked at again after a while at the latest.
    Wait(Duration),
}

/// An input whose files end.
struct HistoryInput {
    input: Arc<OpenInput>,
    counts: Arc<InputCounts>,
}

impl LiveFeed {
    /// A feed of files, if there are any; live inputs are added.
    pub(super) fn new(history: Option<Arc<Blocks>>) -> Self {
        let inputs = history.iter().flat_map(|blocks| blocks.inputs());
        let history_inputs: Vec<HistoryInput> = inputs
            .map(|input| HistoryInput {
                input: Arc::new(input.clone()),
                counts: Arc::default(),
            })
            .collect();
        let reading = Reading::of(history.as_ref().map(|_| history_inputs.len()));
        let state = State {
            epoch: FIRST_EPOCH,
            closed: 0,
            closed_at: Instant::now(),
            held: 0,
            held_since: None,
            live_blocks: 0,
            turns: 0,
            sources: Vec::new(),
            writes: Writes::new(),
            wanted: 0,
            next_source: 0,
            reading,
            closing: false,
            paused: false,
            stopping: false,
            draining: false,
            ended: false,
        };
        LiveFeed {
            history,
            history_inputs,
            state: Mutex::new(state),
            pace: OnceLock::new(),
            clock: OnceLock::new(),
        }
    }

    /// Says when epochs are due. Until then none is closed.
    pub(super) fn set_pace(&self, pace: Pace) {
        let _is_set_once = self.pace.set(pace);
    }

    /// Says which thread closes epochs while files are read.
    pub(super) fn set_clock(&self, clock: Thread) {
        let _is_set_once = self.clock.set(clock);
    }

    /// Adds an input that goes on.
    pub(super) fn add(&self, source: LiveSource) {
        self.state().sources.push(source);
    }

    /// Takes rows that a program writes; whether it still takes any.
    pub(super) fn write(&self, write: Write) -> bool {
        let mut state = self.state();
        if !state.stopping {
            state.writes.push_back(write);
        }
        !state.stopping
    }

    /// Counts those who wait for the next epoch, up or down.
    pub(super) fn want(&self, more: isize) {
        let mut state = self.state();
        state.wanted = state.wanted.saturating_add_signed(more);
        drop(state);
        if let (true, Some(pace)) = (more > 0, self.pace.get()) {
            self.wake_clock();
            pace.wake_workers();
        }
    }

    /// Ends the inputs of a table, from wherever.
    pub(super) fn close_table(&self, table: &str) {
        let state = self.state();
        let of_table = state.sources.iter();
        let of_table = of_table.filter(|source| source.input.spec.table == table);
        of_table.for_each(|source| source.inlet.close());
    }

    /// The positions of the history inputs of a table.
    pub(super) fn history_of(&self, table: &str) -> Vec<usize> {
        let inputs = self.history_inputs.iter().enumerate();
        let of_table = inputs.filter(|(_, h)| h.input.spec.table == table);
        of_table.map(|(position, _)| position).collect()
    }

    /// Closes the open epoch if it is due.
    pub(super) fn close_if_due(&self) -> Closing {
        let mut state = self.state();
        if state.is_live() && state.held == 0 && state.has_waiting() {
            // Workers take what waits before they close the epoch.
            if let Some(pace) = self.pace.get() {
                pace.wake_workers();
            }
            return Closing::Wait(Pace::LOOK);
        }
        self.close_epoch(&mut state)
    }

    /// Opens the next epoch if the open one is due. The next is that of the time, or the one after what was
    /// open. Not while a block of a file is being read: a later block of the file may be
    /// in the open epoch already, and would come before it. Until such blocks are in the epoch
    /// no other is begun.
    fn close_epoch(&self, state: &mut State) -> Closing {
        let Some(pace) = self.pace.get() else {
            return Closing::Wait(Pace::LOOK);
        };
        let left = pace.left(&state.mood(), state.closed_at);
        if !left.is_zero() {
            return Closing::Wait(left);
        }
        if !pace.is_published(state.closed) {
            return Closing::Wait(Pace::LOOK);
        }
        state.closing = !state.reading.in_flight.is_empty();
        if state.closing {
            return Closing::Wait(Pace::LOOK);
        }
        state.closed = state.epoch;
        state.closed_at = Instant::now();
        state.epoch = now_ms().max(state.closed + 1);
        state.held = 0;
        state.held_since = None;
        pace.wake_workers();
        Closing::Closed
    }

    /// Readers can see another epoch: the open one may be due.
    pub(super) fn note_published(&self) {
        let state = self.state();
        if !state.reading.ended {
            self.wake_clock();
        } else if let (true, Some(pace)) = (state.has_records(), self.pace.get()) {
            pace.wake_workers();
        }
    }

    /// Whether the run is over.
    pub(super) fn is_over(&self) -> bool {
        self.state().ended
    }

    /// Takes nothing while too much memory is in use.
    pub(super) fn pause(&self, paused: bool) {
        self.state().paused = paused;
    }

    /// Ends the inputs of a table from a location.
    pub(super) fn close(&self, table: &str, location: &str) {
        let state = self.state();
        let named = state.sources.iter().filter(|source| {
            let spec = &source.input.spec;
            spec.table == table && spec.location == location
        });
        named.for_each(|source| source.inlet.close());
    }

    /// Reads no more files; sources have no more say.
    pub(super) fn stop_reading(&self) {
        let mut state = self.state();
        state.stopping = true;
        state.sources.iter().for_each(|source| source.inlet.close());
    }

    /// Ends once what waits has been taken. Nobody may hand over anything any more.
    pub(super) fn drain(&self) {
        self.state().draining = true;
        self.wake_clock();
    }

    /// The epoch that is open, what the run is at, and for how long the epoch has held records, in
    /// milliseconds.
    pub(super) fn progress(&self) -> (Time, RunState, u64) {
        let state = self.state();
        let run = match (state.stopping, state.reading.ended) {
            (true, _) => RunState::Stopping,
            (_, true) => RunState::Live,
            _ => RunState::CatchingUp,
        };
        let held = state
            .held_since
            .map_or(0, |since| since.elapsed().as_millis());
        (state.epoch, run, u64::try_from(held).unwrap_or(u64::MAX))
    }

    /// How all inputs are.
    pub(super) fn inputs(&self) -> Vec<InputReport> {
        let state = self.state();
        let history = self.history_inputs.iter().enumerate().map(|(at, history)| {
            let is_over = state.reading.ended || state.stopping || state.reading.is_read(at);
            InputReport {
                table: history.input.spec.table.clone(),
                location: history.input.spec.location.clone(),
                kind: InputKind::History,
                state: if is_over {
                    InputState::Ended
                } else {
                    InputState::Reading
                },
                counts: Arc::clone(&history.counts),
                waiting: 0,
                source: None,
            }
        });
        let live = state.sources.iter().map(|source| InputReport {
            table: source.input.spec.table.clone(),
            location: source.input.spec.location.clone(),
            kind: source.kind,
            state: match (source.ended, state.is_open(source)) {
                (true, _) => InputState::Ended,
                (false, true) => InputState::Reading,
                (false, false) => InputState::Waiting,
            },
            counts: Arc::clone(&source.counts),
            waiting: source.inlet.waiting(),
            source: Some(Arc::clone(source.inlet.status())),
        });
        history.chain(live).collect()
    }

    /// The next block of the files, put into the epoch that is open when it has been read.
    fn next_of_history(&self, ticket: u64) -> Option<Turn> {
        let history = self.history.as_ref()?;
        let next = history.next();
        let mut state = self.state();
        state.reading.in_flight.remove(&ticket);
        if state.closing && state.reading.in_flight.is_empty() {
            self.wake_clock();
        }
        match next {
            Next::Block(block) => {
                state.reading.pass(block.input);
                let HistoryInput { input, counts } = &self.history_inputs[block.input];
                let task = Task::Block {
                    input: Arc::clone(input),
                    block,
                    counts: Some(Arc::clone(counts)),
                    receipt: None,
                };
                Some(self.in_epoch(&mut state, task))
            }
            Next::Broken {
                input,
                file,
                offset,
                reason,
                ..
            } => {
                state.reading.pass(input);
                let input = Arc::clone(&self.history_inputs[input].input);
                let task = Task::Broken {
                    input,
                    file,
                    offset,
                    reason,
                };
                Some(self.in_epoch(&mut state, task))
            }
            Next::Wait => None,
            Next::End => {
                let all = self.history_inputs.len();
                state.reading.pass(all);
                state.reading.ended = true;
                None
            }
        }
    }

    fn in_epoch(&self, state: &mut State, task: Task) -> Turn {
        state.held += 1;
        if state.held == 1 {
            state.held_since = Some(Instant::now());
        }
        let may_be_due = state.held == 1 || state.held == EPOCH_BLOCKS;
        if may_be_due && !state.reading.ended {
            self.wake_clock();
        }
        Turn::Task(state.epoch, task)
    }

    /// Whether what waits is taken: in a live run when the open epoch is due, and for no longer than
    /// a while, so that it is closed even if more comes all the time.
    fn takes_now(&self, state: &State) -> bool {
        let Some(pace) = self.pace.get().filter(|_| state.is_live()) else {
            return true;
        };
        let taken_for = state.held_since.map(|since| since.elapsed());
        if taken_for.is_some_and(|time| time >= LONGEST_TAKE) && pace.is_published(state.closed) {
            return false;
        }
        let is_due = pace.left(&state.mood(), state.closed_at).is_zero();
        (is_due && pace.is_published(state.closed)) || state.is_crowded()
    }

    /// Nothing to do: unless it is the clock's, the open epoch is closed if it is due.
    fn wait(&self, state: &mut State) -> Turn {
        if state.is_waited_for() && state.reading.ended {
            self.close_epoch(state);
        }
        state.sources.iter_mut().for_each(LiveSource::look);
        Turn::Wait(state.epoch)
    }

    fn wake_clock(&self) {
        if let Some(clock) = self.clock.get() {
            clock.unpark();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed for LiveFeed {
    fn next(&self) -> Turn {
        let ticket = {
            let mut state = self.state();
            if state.ended {
                return Turn::End;
            }
            // A write may be what frees memory.
            if let Some(task) = state.take_write() {
                return self.in_epoch(&mut state, task);
            }
            let is_paused = state.paused && !state.draining;
            if is_paused || state.held >= EPOCH_BLOCKS {
                return self.wait(&mut state);
            }
            if !self.takes_now(&state) {
                return self.wait(&mut state);
            }
            state.turns += 1;
            let reads_files = !state.reading.ended && !state.stopping;
            let files_first = reads_files && state.turns.is_multiple_of(2);
            if !files_first && let Some(task) = state.take_live() {
                return self.in_epoch(&mut state, task);
            }
            if !reads_files {
                if state.draining && state.writes.is_empty() && state.reading.in_flight.is_empty() {
                    state.ended = true;
                    self.wake_clock();
                    return Turn::End;
                }
                return self.wait(&mut state);
            }
            if state.closing {
                return Turn::Wait(state.epoch);
            }
            state.reading.take_ticket()
        };
        // Outside the lock: reading a file takes its time.
        if let Some(turn) = self.next_of_history(ticket) {
            return turn;
        }
        let mut state = self.state();
        match state.take_live() {
            Some(task) => self.in_epoch(&mut state, task),
            None => Turn::Wait(state.epoch),
        }
    }

    fn recycle(&self, block: Block) {
        if let Some(history) = self
            .history
            .as_ref()
            .filter(|_| block.number < FIRST_LIVE_BLOCK)
        {
            history.recycle(block);
        }
    }

    fn patience(&self) -> Option<Duration> {
        let state = self.state();
        let pace = self.pace.get()?;
        let is_workers = state.has_records() && state.reading.ended;
        let left = is_workers.then(|| pace.left(&state.mood(), state.closed_at))?;
        // One that is due already waits for the epoch before it, of which workers are told.
        (!left.is_zero()).then_some(left)
    }

    fn most_ahead(&self) -> Time {
        // The clock sees to it that at most two epochs are on their way.
        Time::MAX
    }
}
