//! Tables and views that come and go while the engine runs.
//!
//! A checked statement flows in; commands to the workers and announcements to the catalog flow out.
//! One change is made at a time. What is created is there, for all readers from one epoch on, when
//! the call returns; what cannot be created leaves nothing behind. These calls wait for workers:
//! they belong on a thread that may wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use super::added::{Read, plan_part};
use super::command::{Command, Fill, From, Part};
use super::error::{ChangeError, EngineError};
use super::live::Live;
use super::memory::resident_bytes;
use super::operators::{NodeReport, Operators};
use super::program::{Named, Program};
use super::tables::TableAt;
use super::{check_renders, wanted::Wanted};
use crate::catalog::Shown;
use crate::delta::Time;
use crate::plan::{Plan, Purpose, plan_for, references};
use crate::script::{Script, Table, View};

/// How often a change that waits looks whether the engine is alive.
const LOOK: Duration = Duration::from_millis(20);
/// Where expressions that fail leave their rows.
const REJECTS: &str = "tillrace.rejects";

/// What changes have been made so far.
#[derive(Default)]
pub(super) struct Changes {
    /// Held while a change is made.
    making: Mutex<Numbers>,
    /// By name: what has been added.
    parts: Mutex<BTreeMap<String, Arc<Part>>>,
    /// No more changes are made.
    stopped: AtomicBool,
}

/// The last numbers that were given out.
#[derive(Default)]
struct Numbers {
    part: usize,
    tap: usize,
    input: usize,
}

/// What the nodes of something that was added do, also after it has been dropped.
#[derive(Clone)]
pub struct PartReport(Arc<Part>);

impl PartReport {
    /// What each node has done so far and holds now, in order.
    pub fn nodes(&self) -> Vec<NodeReport> {
        self.0.operators.report(&self.0.plan)
    }
}

impl Changes {
    /// Makes no more changes; returns when the one under way has ended.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.numbers());
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// All tables and views by now.
    pub fn program(&self) -> Arc<Program> {
        self.program.load_full()
    }

    /// What the nodes of something do that was added while the engine ran; `None` if there is none
    /// of that name.
    pub fn part(&self, name: &str) -> Option<PartReport> {
        self.changes.parts().get(name).cloned().map(PartReport)
    }

    /// Creates the tables and views of a script that may read what there is.
    ///
    /// # Errors
    /// If a name is taken, a view cannot be kept up to date or reads what is not held, there is not
    /// enough memory, or the engine stops.
    pub fn create(&self, addition: &Script) -> Result<(), ChangeError> {
        let mut numbers = self.changes.numbers();
        for table in &addition.tables {
            self.create_table(&mut numbers, addition, table)?;
        }
        for view in &addition.views {
            self.create_view(&mut numbers, addition, view)?;
        }
        Ok(())
    }

    /// How the first view of a script that may read what there is would be kept up to date.
    ///
    /// # Errors
    /// If it cannot be, or reads what is not held.
    pub fn plan_addition(&self, addition: &Script) -> Result<Arc<Plan>, ChangeError> {
        let first = addition.views.first();
        let view = first.ok_or_else(|| ChangeError::Unknown(String::new()))?;
        plan_part(&self.program(), addition, view).map(|(plan, _)| plan)
    }

    /// Changes what is said about tables and views, not what they are.
    ///
    /// # Errors
    /// As `edit` says.
    pub fn comment<E>(&self, edit: impl FnOnce(&mut Script) -> Result<(), E>) -> Result<(), E> {
        let _one_at_a_time = self.changes.numbers();
        let mut outcome = Ok(());
        let program = self.program().edited(|script| outcome = edit(script));
        outcome?;
        self.program.store(Arc::new(program));
        Ok(())
    }

    fn create_table(
        &self,
        numbers: &mut Numbers,
        addition: &Script,
        table: &Table,
    ) -> Result<(), ChangeError> {
        self.check_name(&table.name)?;
        let script = Script {
            tables: vec![table.clone()],
            sources: Arc::clone(&addition.sources),
            ..Script::default()
        };
        let purpose = Purpose {
            held: vec![0],
            is_part: true,
            ..Purpose::default()
        };
        let plan = Arc::new(plan_for(Arc::new(script), &purpose)?);
        check_renders(&plan)?;
        let input = self.next_input(numbers);
        let inputs = vec![From::Written(input)];
        let name = table.name.clone();
        let part = self.part_of(numbers, &plan, inputs, vec![name.clone()], None)?;
        self.install(&name, &part)?;
        self.shared.tables.add(TableAt {
            table: table.clone(),
            columns: plan.inputs[0].columns.clone(),
            input: Some(input),
        });
        let entry = entry(&part, Vec::new());
        let program = self.program().with_table(table.clone(), entry);
        self.program.store(Arc::new(program));
        Ok(())
    }

    fn create_view(
        &self,
        numbers: &mut Numbers,
        addition: &Script,
        view: &View,
    ) -> Result<(), ChangeError> {
        self.check_name(&view.name)?;
        let program = self.program();
        let (plan, kept) = plan_part(&program, addition, view)?;
        let reads = references(view);
        if !view.materialized {
            let entry = Named {
                schema: plan
                    .outputs
                    .first()
                    .map(|output| Arc::clone(&output.schema)),
                plan,
                place: None,
                append_only: false,
                reads,
                is_added: true,
            };
            let program = program.with_view(view.clone(), entry);
            self.program.store(Arc::new(program));
            return Ok(());
        }
        check_renders(&plan)?;
        self.check_memory()?;
        let latest = self.catalog().latest();
        let kept_by_name = kept.iter().flatten();
        let tables = kept_by_name.filter_map(|(name, _)| latest.view(name));
        let tables: BTreeSet<String> = tables.flat_map(|v| v.tables().to_vec()).collect();
        let fill = self.tap(numbers, &kept)?;
        let inputs = kept.iter().map(|read| match read {
            Some((_, place)) => From::Kept(*place),
            None => From::Clock(self.next_input(numbers)),
        });
        let inputs = inputs.collect();
        let tables = tables.into_iter().collect();
        let part = self.part_of(numbers, &plan, inputs, tables, fill)?;
        self.install(&view.name, &part)?;
        let program = program.with_view(view.clone(), entry(&part, reads));
        self.program.store(Arc::new(program));
        Ok(())
    }

    /// Starts to put by what comes, and takes a snapshot of what there is.
    fn tap(&self, numbers: &mut Numbers, kept: &[Read]) -> Result<Option<Fill>, ChangeError> {
        if kept.iter().flatten().next().is_none() {
            return Ok(None);
        }
        numbers.tap += 1;
        let tap = numbers.tap;
        let places = kept.iter().flatten().map(|(_, place)| *place);
        let places: Arc<[usize]> = places.collect();
        let (reply, replies) = unbounded();
        let told = Command::Tap { tap, places, reply };
        self.tell(&told);
        drop(told);
        let snapshot = self.wait_for_all(&replies).and_then(|from| {
            let epoch = from.saturating_sub(1);
            self.wait_until(|| self.catalog().latest().epoch() >= epoch)?;
            Ok(self.catalog().latest())
        });
        match snapshot {
            Ok(snapshot) => {
                let sources = kept.iter().enumerate();
                let sources = sources.filter_map(|(input, read)| {
                    let (name, _) = read.as_ref()?;
                    Some((input, name.clone()))
                });
                Ok(Some(Fill::new(tap, snapshot, sources.collect())))
            }
            Err(error) => {
                self.tell(&Command::Untap(tap));
                Err(error)
            }
        }
    }

    fn part_of(
        &self,
        numbers: &mut Numbers,
        plan: &Arc<Plan>,
        inputs: Vec<From>,
        tables: Vec<String>,
        fill: Option<Fill>,
    ) -> Result<Arc<Part>, ChangeError> {
        let shown = plan.outputs.iter().map(|output| {
            let shown = Shown::new(output.clone(), tables.clone());
            shown.map_err(|error| ChangeError::Engine(EngineError::Rows(error)))
        });
        let shown = shown.collect::<Result<Vec<_>, _>>();
        let shown = shown.inspect_err(|_| {
            if let Some(fill) = &fill {
                self.tell(&Command::Untap(fill.tap));
            }
        })?;
        let announced = shown.into_iter().map(|shown| {
            let place = self.catalog().announce(Arc::clone(&shown));
            (place, shown)
        });
        numbers.part += 1;
        let rejects = self.program().entry(REJECTS).and_then(|entry| entry.place);
        Ok(Arc::new(Part {
            number: numbers.part,
            plan: Arc::clone(plan),
            outputs: announced.collect(),
            rejects: rejects.expect("the rejects are always kept"),
            inputs,
            operators: Operators::new(plan, self.shared.config.workers.max(1)),
            fill,
        }))
    }

    /// Has all workers build a part; returns when readers see it.
    fn install(&self, name: &str, part: &Arc<Part>) -> Result<(), ChangeError> {
        self.tell(&Command::Install(Arc::clone(part)));
        let place = part.outputs.first().map(|(place, _)| *place);
        let is_shown = || {
            let latest = self.catalog().latest();
            latest.view(name).map(|view| view.place()) == place
        };
        let outcome = loop {
            if is_shown() {
                break Ok(());
            }
            match self.wait_a_while().and_then(|()| self.check_memory()) {
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        match outcome {
            Ok(()) => {
                self.changes
                    .parts()
                    .insert(name.to_owned(), Arc::clone(part));
                Ok(())
            }
            Err(error) => {
                self.remove(part);
                Err(error)
            }
        }
    }

    /// Takes a part away: from readers at the next epoch, then from the workers.
    fn remove(&self, part: &Arc<Part>) {
        let places: Vec<usize> = part.outputs.iter().map(|(place, _)| *place).collect();
        self.catalog().withdraw(&places);
        let (reply, replies) = unbounded();
        let told = Command::Drop {
            part: part.number,
            reply,
        };
        self.tell(&told);
        drop(told);
        // An engine that stops takes everything away.
        let _is_gone = self.wait_for_all(&replies);
    }

    /// Drops tables and views that were created while the engine ran, and with `cascade` all that
    /// reads them; the names of what was dropped.
    ///
    /// # Errors
    /// If there is none of a name, it is part of the script, or others read it.
    pub fn drop_relations(
        &self,
        names: &[String],
        cascade: bool,
    ) -> Result<Vec<String>, ChangeError> {
        let _one_at_a_time = self.changes.numbers();
        let mut program = (*self.program()).clone();
        let mut going: Vec<String> = Vec::new();
        for name in names {
            with_readers(&program, name, cascade, &mut going)?;
        }
        for name in &going {
            let readers = program.readers(name).into_iter();
            let others = readers.filter(|reader| !going.iter().any(|name| name == reader));
            let by: Vec<String> = others.map(str::to_owned).collect();
            if !by.is_empty() {
                let name = name.clone();
                return Err(ChangeError::Used { name, by });
            }
        }
        for name in &going {
            program = program.without(name);
        }
        self.program.store(Arc::new(program));
        for name in &going {
            self.shared.tables.remove(name);
            self.close_outlets(name);
            let part = self.changes.parts().remove(name);
            if let Some(part) = part {
                self.remove(&part);
            }
        }
        let _is_over = self.wait_until(|| {
            let latest = self.catalog().latest();
            going.iter().all(|name| latest.view(name).is_none())
        });
        Ok(going)
    }

    /// The number of an input that nothing else has.
    fn next_input(&self, numbers: &mut Numbers) -> usize {
        numbers.input += 1;
        self.plan().inputs.len() + numbers.input
    }

    fn check_name(&self, name: &str) -> Result<(), ChangeError> {
        match self.program().entry(name) {
            Some(_) => Err(ChangeError::Exists(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether there is memory for more.
    fn check_memory(&self) -> Result<(), ChangeError> {
        let limit = self.memory_limit();
        match limit.zip(resident_bytes()) {
            Some((limit, used)) if used > limit => Err(ChangeError::Memory { limit }),
            _ => Ok(()),
        }
    }

    fn tell(&self, command: &Command) {
        self.shared.commands.send(command);
        (self.wake)();
    }

    /// The greatest answer of all workers.
    fn wait_for_all(&self, replies: &Receiver<Time>) -> Result<Time, ChangeError> {
        let mut greatest = 0;
        for _ in 0..self.shared.config.workers.max(1) {
            let reply = loop {
                match replies.recv_timeout(LOOK) {
                    Ok(reply) => break reply,
                    Err(RecvTimeoutError::Timeout) => self.check_alive()?,
                    Err(RecvTimeoutError::Disconnected) => return Err(ChangeError::Stopping),
                }
            };
            greatest = greatest.max(reply);
        }
        Ok(greatest)
    }

    fn wait_until(&self, holds: impl Fn() -> bool) -> Result<(), ChangeError> {
        while !holds() {
            self.wait_a_while()?;
        }
        Ok(())
    }

    /// Waits for the next epoch, which comes soon, but not long.
    fn wait_a_while(&self) -> Result<(), ChangeError> {
        self.check_alive()?;
        let _soon = Wanted::new(&self.feed);
        self.shared.status.wait_for_next(LOOK);
        Ok(())
    }

    fn check_alive(&self) -> Result<(), ChangeError> {
        let stops = self.changes.stopped.load(Ordering::Relaxed);
        match stops || self.shared.status.is_any_dead() {
            true => Err(ChangeError::Stopping),
            false => Ok(()),
        }
    }
}

/// What is known of a part's first output.
fn entry(part: &Arc<Part>, reads: Vec<String>) -> Named {
    let output = part.plan.outputs.first();
    let node = output.map(|output| &part.plan.nodes[output.node.0]);
    Named {
        plan: Arc::clone(&part.plan),
        place: part.outputs.first().map(|(place, _)| *place),
        schema: output.map(|output| Arc::clone(&output.schema)),
        append_only: node.is_some_and(|node| node.append_only),
        reads,
        is_added: true,
    }
}

/// Adds a name to what goes, behind all that reads it.
fn with_readers(
    program: &Program,
    name: &str,
    cascade: bool,
    going: &mut Vec<String>,
) -> Result<(), ChangeError> {
    if going.iter().any(|other| other == name) {
        return Ok(());
    }
    let unknown = || ChangeError::Unknown(name.to_owned());
    let entry = program.entry(name).ok_or_else(unknown)?;
    if !entry.is_added {
        return Err(ChangeError::OfScript(name.to_owned()));
    }
    if cascade {
        for reader in program.readers(name) {
            with_readers(program, reader, cascade, going)?;
        }
    }
    going.push(name.to_owned());
    Ok(())
}
