//! Standard input, which only a process of its own can have to itself: the test starts itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::support::{lines_of, start};

#[test]
fn standard_input_is_followed_as_it_comes() {
    let program = std::env::current_exe().expect("the test has a name");
    let mut child = Command::new(program)
        .args(["--ignored", "--exact", "stdin::echo", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test starts");
    let mut stdin = child.stdin.take().expect("it takes input");
    let stdout = BufReader::new(child.stdout.take().expect("it answers"));
    let mut answers = stdout.lines().map(|line| line.expect("it answers in text"));
    let mut next_answer = || {
        answers
            .by_ref()
            .find_map(|line| line.split_once("got ").map(|(_, got)| got.to_owned()))
    };
    stdin.write_all(b"1\n2").expect("it is sent");
    assert_eq!(next_answer().as_deref(), Some("1"));
    stdin.write_all(b"3\n4").expect("it is sent");
    assert_eq!(next_answer().as_deref(), Some("23"));
    drop(stdin);
    assert_eq!(next_answer().as_deref(), Some("4"));
    answers.by_ref().for_each(drop);
    assert!(child.wait().expect("it ends").success());
}

/// Tells each line that it reads; ends after the third.
#[test]
#[ignore = "it is started by the test above"]
fn echo() {
    let stdin = start("orders=-");
    let mut told = 0;
    while told < 3 {
        for line in lines_of(&stdin.next()) {
            println!("\ngot {line}");
            told += 1;
        }
    }
    stdin.ends();
}
