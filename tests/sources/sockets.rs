//! TCP, Unix and UDP sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::support::{Running, lines_of, refusal, start, wait_until};

fn listen(options: &str) -> Running {
    start(&format!("orders=tcp://127.0.0.1:0{options}"))
}

fn address(running: &Running) -> SocketAddr {
    running.address.expect("it tells its address")
}

fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(address(running)).expect("it listens")
}

fn send(stream: &mut impl Write, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is sent");
}

#[test]
fn what_a_connection_sends_is_cut_into_lines() {
    let tcp = listen("");
    let mut peer = connect(&tcp);
    send(&mut peer, "1\n2\n3");
    let piece = tcp.next();
    assert_eq!(
        (lines_of(&piece), piece.start),
        (vec!["1".into(), "2".into()], 0)
    );
    assert_eq!(
        piece.name.to_str(),
        peer.local_addr().ok().map(|a| a.to_string()).as_deref()
    );
    send(&mut peer, "4\n");
    let piece = tcp.next();
    assert_eq!((lines_of(&piece), piece.start), (vec!["34".into()], 4));
    assert_eq!(tcp.connections(), 1);
    drop(peer);
    tcp.wait_for_connections(0);
    tcp.stop();
}

#[test]
fn a_half_closed_connection_hands_over_its_last_line() {
    let tcp = listen("");
    let mut peer = connect(&tcp);
    send(&mut peer, "1\n2");
    peer.shutdown(Shutdown::Write)
        .expect("it is closed by half");
    assert_eq!(tcp.lines(2), ["1", "2"]);
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer)
        .expect("the other half is closed too");
    assert!(answer.is_empty());
    tcp.stop();
}

#[test]
fn two_hundred_connections_at_once() {
    const PEERS: usize = 200;
    const LINES: usize = 50;
    let tcp = listen("");
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| connect(&tcp)).collect();
    tcp.wait_for_connections(PEERS as u64);
    let sender = thread::spawn(move || {
        for line in 0..LINES {
            // Each line comes in two parts, with other connections' parts between.
            for (n, peer) in peers.iter_mut().enumerate() {
                send(peer, &format!("{n} "));
            }
            for peer in &mut peers {
                send(peer, &format!("{line}\n"));
            }
        }
    });
    let mut next = BTreeMap::<usize, usize>::new();
    let mut count = 0;
    while count < PEERS * LINES {
        for line in lines_of(&tcp.next()) {
            let (peer, line) = line.split_once(' ').expect("a line is whole");
            let expected = next.entry(peer.parse().expect("a number")).or_default();
            assert_eq!(line.parse(), Ok(*expected));
            *expected += 1;
            count += 1;
        }
    }
    sender.join().expect("the sender is done");
    tcp.wait_for_connections(0);
    tcp.stop();
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let tcp = listen("?connections=2");
    let mut peers: Vec<TcpStream> = (0..3).map(|_| connect(&tcp)).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        send(peer, &format!("{n}\n"));
    }
    let mut lines = tcp.lines(2);
    lines.sort();
    assert_eq!(lines, ["0", "1"]);
    assert_eq!((tcp.connections(), tcp.inlet.waiting()), (2, 0));
    peers.remove(0);
    assert_eq!(tcp.lines(1), ["2"]);
    tcp.stop();
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_told_of() {
    let tcp = listen("?max_line=1K");
    let mut peer = connect(&tcp);
    send(&mut peer, "{\"a\":1}\n{\"b\":\"");
    send(&mut peer, &"x".repeat(5000));
    assert_eq!(tcp.lines(1), ["{\"a\":1}"]);
    let piece = tcp.next();
    let long = piece.too_long.expect("it is told of");
    assert_eq!(
        (long.offset, &long.start[..6]),
        (8, b"{\"b\":\"".as_slice())
    );
    assert!(piece.text.is_empty());
    send(&mut peer, "\"}\n{\"c\":2}\n");
    let piece = tcp.next();
    assert_eq!(
        (lines_of(&piece), piece.start),
        (vec!["{\"c\":2}".into()], 5017)
    );
    tcp.stop();
}

#[test]
fn an_unclosed_quote_costs_its_line_alone() {
    let tcp = listen("?format=csv&header=false&max_line=64");
    let mut peer = connect(&tcp);
    send(&mut peer, "1,\"never closed\n");
    for n in 2..10 {
        send(&mut peer, &format!("{n},some text\n"));
    }
    let mut text = Vec::new();
    while !text.ends_with(b"9,some text\n") {
        text.extend(tcp.next().text);
    }
    let text = String::from_utf8(text).expect("it is text");
    assert!(
        text.starts_with("1,\"never closed\n2,some text\n"),
        "{text}"
    );
    tcp.stop();
}

#[test]
fn each_connection_has_its_own_header() {
    let tcp = listen("?format=csv");
    let (mut one, mut two) = (connect(&tcp), connect(&tcp));
    send(&mut one, "id,price\n1,10\n");
    let piece = tcp.next();
    assert_eq!(piece.text, b"1,10\n");
    assert_eq!(
        piece.header.as_deref(),
        Some(&vec!["id".into(), "price".into()])
    );
    send(&mut two, "price,id\n20,2\n");
    let piece = tcp.next();
    assert_eq!(piece.text, b"20,2\n");
    assert_eq!(
        piece.header.as_deref(),
        Some(&vec!["price".into(), "id".into()])
    );
    tcp.stop();
}

#[test]
fn a_full_queue_makes_senders_wait_and_loses_nothing() {
    const LINES: usize = 1_500_000;
    let tcp = listen("");
    let mut peer = connect(&tcp);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let sender = thread::spawn(move || {
        for from in (0..LINES).step_by(1000) {
            let text: String = (from..from + 1000).map(|n| format!("{n:039}\n")).collect();
            send(&mut peer, &text);
            counter.store(from + 1000, Ordering::Relaxed);
        }
    });
    wait_until("the queue is full", || tcp.inlet.waiting() == 64);
    let bytes = sent.load(Ordering::Relaxed) * 40;
    // 64 pieces of 256 KiB, and what the kernel holds.
    assert!(bytes < 50 << 20, "{bytes} bytes were taken");
    let mut next = 0;
    while next < LINES {
        for line in lines_of(&tcp.next()) {
            assert_eq!(line.parse(), Ok(next));
            next += 1;
        }
    }
    sender.join().expect("the sender is done");
    tcp.wait_for_connections(0);
    tcp.stop();
}

#[test]
fn a_source_that_waits_for_the_engine_ends_all_the_same() {
    let tcp = listen("");
    let mut peer = connect(&tcp);
    let sender = thread::spawn(move || while peer.write_all(&[b'\n'; 100_000]).is_ok() {});
    wait_until("the queue is full", || tcp.inlet.waiting() == 64);
    tcp.abandon();
    sender.join().expect("the sender is told");
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let tcp = listen("?max_line=4K");
    let mut peer = connect(&tcp);
    let mut state = 1_u32;
    let mut noise: Vec<u8> = Vec::new();
    for _ in 0..500_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.push((state >> 24) as u8);
    }
    peer.write_all(&noise).expect("it is sent");
    drop(peer);
    let mut received = Vec::new();
    while received.len() < noise.len() {
        let piece = tcp.next();
        assert_eq!(piece.start, received.len() as u64);
        assert!(piece.too_long.is_none());
        received.extend(piece.text);
    }
    assert!(received == noise);
    tcp.stop();
}

#[test]
fn idle_connections_are_closed_if_wanted() {
    let tcp = listen("?idle=0.3");
    let mut peer = connect(&tcp);
    send(&mut peer, "1\n");
    assert_eq!(tcp.lines(1), ["1"]);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).expect("it is closed");
    tcp.wait_for_fault("was idle and is closed");
    tcp.wait_for_connections(0);
    tcp.stop();
}

#[test]
fn a_port_in_use_is_an_error_at_once() {
    let tcp = listen("");
    let location = format!("tcp://{}", address(&tcp));
    let error = refusal(&format!("orders={location}"));
    let start = format!("could not listen for input \"orders\" at {location}: ");
    assert!(
        error.starts_with(&start) && error.contains("in use"),
        "{error}"
    );
    tcp.stop();
}

#[test]
fn datagrams_hold_whole_records() {
    let udp = start("orders=udp://127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket is bound");
    socket.connect(address(&udp)).expect("it has an address");
    for datagram in ["{\"n\":1}", "{\"n\":2}\n{\"n\":3}\n", "{\n\"n\": 4\n}"] {
        socket.send(datagram.as_bytes()).expect("it is sent");
    }
    assert_eq!(
        udp.lines(4),
        ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{ \"n\": 4 }"]
    );
    udp.stop();
    let udp = start("orders=udp://127.0.0.1:0?format=csv");
    socket.connect(address(&udp)).expect("it has an address");
    socket.send(b"id\n1\n2").expect("it is sent");
    let piece = udp.next();
    assert_eq!((lines_of(&piece), piece.start), (vec!["1".into()], 3));
    assert_eq!(udp.lines(1), ["2"]);
    udp.stop();
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::super::support::at;
    use super::*;

    #[test]
    fn a_unix_socket_is_made_served_and_removed() {
        let folder = tempfile::tempdir().expect("a folder is made");
        let path = folder.path().join("orders.sock");
        // One that was left behind.
        drop(UnixListener::bind(&path).expect("a socket is bound"));
        assert!(path.exists());
        let text = format!("orders=unix:{}", path.display());
        let unix = start(&text);
        let mut peer = UnixStream::connect(&path).expect("it listens");
        send(&mut peer, "1\n2");
        peer.shutdown(Shutdown::Write)
            .expect("it is closed by half");
        assert_eq!(unix.lines(2), ["1", "2"]);
        let error = refusal(&text);
        assert!(error.ends_with("another program listens there"), "{error}");
        unix.stop();
        assert!(!path.exists());
    }

    #[test]
    fn a_mode_says_who_may_connect() {
        let folder = tempfile::tempdir().expect("a folder is made");
        let path = folder.path().join("orders.sock");
        let unix = start(&format!("orders=unix:{}?mode=620", path.display()));
        let metadata = std::fs::metadata(&path).expect("it is there");
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(mode & 0o777, 0o620);
        unix.stop();
        for mode in ["rw", "888", "1777"] {
            let told = refusal(&format!("orders=unix:{}?mode={mode}", path.display()));
            assert!(told.contains("octal digits"), "{told}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder is made");
        let path = at(folder.path(), "orders.jsonl");
        fs::write(&path, "1\n").expect("it is written");
        let error = refusal(&format!("orders=unix:{path}"));
        assert!(
            error.ends_with("there is a file that is not a socket"),
            "{error}"
        );
        assert_eq!(fs::read(&path).ok().as_deref(), Some(b"1\n".as_slice()));
    }
}

#[test]
fn slow_senders_do_not_hold_up_others() {
    let tcp = listen("");
    let mut slow = connect(&tcp);
    slow.set_nodelay(true).expect("it is set");
    let mut quick = connect(&tcp);
    for byte in "slow".bytes() {
        slow.write_all(&[byte]).expect("it is sent");
        send(&mut quick, "quick\n");
        assert_eq!(tcp.lines(1), ["quick"]);
    }
    send(&mut slow, "\n");
    assert_eq!(tcp.lines(1), ["slow"]);
    tcp.stop();
}
