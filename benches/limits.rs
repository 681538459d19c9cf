//! What a replay cannot be faster than: how long all workers take to find the line ends of its
//! inputs, and to decode the columns that its views need and do nothing with them.
//!
//! `cargo bench --bench limits -- WORKERS lines|decode TABLE=PATH... -- SCRIPT...` prints rows and
//! seconds. `benches/run` asks for both beside every replay that it times.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use tillrace::decode::Decoder;
use tillrace::plan::{Plan, Relation, plan};
use tillrace::script;
use tillrace::source::{Block, Blocks, InputSpec, Next, OpenOptions, Payload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Lines,
    Decode,
}

fn main() -> Result<()> {
    // Cargo passes `--bench` on.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    // Without arguments, as under `cargo bench` over everything, there is nothing to measure.
    let Some(workers) = arguments.next() else {
        return Ok(());
    };
    let workers: usize = workers
        .parse()
        .context("the first argument is a number of workers")?;
    let work = match arguments.next().as_deref() {
        Some("lines") => Work::Lines,
        Some("decode") => Work::Decode,
        _ => anyhow::bail!("the second argument is lines or decode"),
    };
    let inputs: Vec<InputSpec> = arguments
        .by_ref()
        .take_while(|argument| argument != "--")
        .map(|argument| InputSpec::parse(&argument))
        .collect::<Result<_, _>>()?;
    let scripts: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let plan = plan(Arc::new(script::load(&scripts)?))?;

    let start = Instant::now();
    let blocks = Blocks::open(&inputs, &OpenOptions::default())?;
    let rows = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| rows.fetch_add(run(work, &plan, &blocks), Ordering::Relaxed));
        }
    });
    println!("{} {:.6}", rows.into_inner(), start.elapsed().as_secs_f64());
    Ok(())
}

/// One worker's share; its rows.
fn run(work: Work, plan: &Plan, blocks: &Blocks) -> u64 {
    let mut decoders: Vec<Option<Decoder>> = blocks.inputs().iter().map(|_| None).collect();
    let mut rows = 0;
    loop {
        match blocks.next() {
            Next::Block(block) if work == Work::Lines => {
                rows += lines(&block);
                blocks.recycle(block);
            }
            Next::Block(block) => {
                let decoder =
                    decoders[block.input].get_or_insert_with(|| decoder(plan, blocks, block.input));
                let decoded = decoder
                    .decode(&block)
                    .expect("generated inputs can be decoded");
                rows += black_box(decoded.batch).num_rows() as u64;
                blocks.recycle(block);
            }
            Next::Broken { reason, .. } => panic!("generated inputs are whole: {reason}"),
            Next::Wait => thread::yield_now(),
            Next::End => return rows,
        }
    }
}

/// How many lines a block of text has.
fn lines(block: &Block) -> u64 {
    match &block.payload {
        Payload::Text(text) => {
            // Looking at each place keeps memchr from merely counting.
            let ends = memchr::memchr_iter(b'\n', text);
            ends.fold(0, |lines, end| {
                lines + u64::from(black_box(end) < text.len())
            })
        }
        Payload::RowGroup(_) => 0,
    }
}

/// The decoder that a replay would use.
fn decoder(plan: &Plan, blocks: &Blocks, input: usize) -> Decoder {
    let opened = &blocks.inputs()[input];
    let (position, table) = plan
        .script
        .table(&opened.spec.table)
        .expect("a table of the script");
    let columns = plan
        .inputs
        .iter()
        .find(|input| input.relation == Relation::Table(position))
        .map_or(&[][..], |input| &input.columns);
    Decoder::new(table, columns, opened, 0).expect("generated inputs hold their columns")
}
