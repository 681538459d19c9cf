//! WebSocket and server-sent event feeds, served by servers that break off.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use super::support::{DEADLINE, Running, lines_of, start, wait_until};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is bound");
    let address = listener.local_addr().expect("it has an address");
    (listener, address.to_string())
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("somebody connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is set");
    stream
}

fn accept_websocket(listener: &TcpListener) -> (WebSocket<TcpStream>, Vec<(String, String)>) {
    let mut headers = Vec::new();
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the library's"
    )]
    let note = |request: &Request, response: Response| {
        headers.push(("path".to_owned(), request.uri().to_string()));
        for (name, value) in request.headers() {
            let value = value.to_str().unwrap_or_default();
            headers.push((name.to_string(), value.to_owned()));
        }
        Ok(response)
    };
    let socket = tungstenite::accept_hdr(accept(listener), note).expect("hands are shaken");
    (socket, headers)
}

fn has(headers: &[(String, String)], name: &str, value: &str) -> bool {
    headers
        .iter()
        .any(|header| *header == (name.to_owned(), value.to_owned()))
}

#[test]
fn a_websocket_is_subscribed_to_and_connected_to_again() {
    let (listener, address) = listener();
    let text = format!(
        "orders=ws://{address}/feed?shop=1?header.Authorization=Bearer a%26b&send={{\"want\":1}}"
    );
    let feed = start(&text);
    let (mut socket, headers) = accept_websocket(&listener);
    assert!(has(&headers, "authorization", "Bearer a&b"), "{headers:?}");
    assert!(has(&headers, "path", "/feed?shop=1"), "{headers:?}");
    assert_eq!(socket.read().ok(), Some(Message::text("{\"want\":1}")));
    feed.wait_for_connections(1);
    let messages = [
        "{\"n\":1}",
        "{\"n\":2}\n{\"n\":3}\n",
        "{\n  \"n\": 4\n}",
        "[{\"n\":5}, {\"n\":6}]",
        "no JSON",
    ];
    for message in messages {
        socket.send(Message::text(message)).expect("it is sent");
    }
    let expected = [
        "{\"n\":1}",
        "{\"n\":2}",
        "{\"n\":3}",
        "{   \"n\": 4 }",
        "{\"n\":5}",
        "{\"n\":6}",
        "no JSON",
    ];
    assert_eq!(feed.lines(7), expected);
    socket
        .send(Message::binary("{\"n\":7}"))
        .expect("it is sent");
    let piece = feed.next();
    assert_eq!(lines_of(&piece), ["{\"n\":7}"]);
    // Neither the query nor a header is shown, for they may be secret.
    assert_eq!(
        piece.name.to_str(),
        Some(format!("ws://{address}/feed").as_str())
    );
    drop(socket);
    let (mut socket, _) = accept_websocket(&listener);
    assert_eq!(socket.read().ok(), Some(Message::text("{\"want\":1}")));
    socket.send(Message::text("{\"n\":8}")).expect("it is sent");
    assert_eq!(feed.lines(1), ["{\"n\":8}"]);
    assert!(
        feed.status()
            .faults
            .load(std::sync::atomic::Ordering::Relaxed)
            >= 1
    );
    feed.stop();
}

#[test]
fn a_websocket_that_says_nothing_is_asked_and_then_given_up() {
    let (listener, address) = listener();
    let feed = start(&format!("orders=ws://{address}?idle=0.4"));
    let (mut socket, _) = accept_websocket(&listener);
    // It is asked whether it is still there.
    assert!(matches!(socket.read(), Ok(Message::Ping(_))));
    // A server that does not even answer that is gone.
    let (mut second, _) = accept_websocket(&listener);
    feed.wait_for_fault("nothing came for too long");
    second.send(Message::text("1")).expect("it is sent");
    assert_eq!(feed.lines(1), ["1"]);
    feed.stop();
}

#[test]
fn a_websocket_message_that_is_too_long_is_told_of() {
    let (listener, address) = listener();
    let feed = start(&format!("orders=ws://{address}?max_line=1K"));
    let (mut socket, _) = accept_websocket(&listener);
    socket.send(Message::text("1")).expect("it is sent");
    assert_eq!(feed.lines(1), ["1"]);
    socket
        .send(Message::text("x".repeat(2000)))
        .expect("it is sent");
    let long = feed.next().too_long.expect("it is told of");
    assert_eq!(long.reason(), "a record of more than 1024 bytes");
    let (mut socket, _) = accept_websocket(&listener);
    socket.send(Message::text("2")).expect("it is sent");
    assert_eq!(feed.lines(1), ["2"]);
    feed.stop();
}

#[test]
fn servers_that_speak_something_else_do_no_harm() {
    for scheme in ["ws", "wss", "sse+http", "sse+https"] {
        let (listener, address) = listener();
        let feed = start(&format!("orders={scheme}://{address}"));
        for _ in 0..2 {
            let mut stream = accept(&listener);
            stream
                .write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                .expect("it is sent");
        }
        wait_until("a fault is noted", || feed.status().last_fault().is_some());
        feed.stop();
    }
}

#[test]
fn a_feed_ends_while_nobody_answers() {
    for scheme in ["ws", "sse+http"] {
        let (listener, address) = listener();
        let feed = start(&format!("orders={scheme}://{address}"));
        // It waits for an answer to its request, and then between attempts.
        let stream = accept(&listener);
        feed.stop();
        drop(stream);
        let feed = start(&format!("orders={scheme}://{address}"));
        drop(listener);
        wait_until("a fault is noted", || feed.status().last_fault().is_some());
        feed.stop();
    }
}

/// A server of events: takes a request and tells its lines.
fn accept_request(listener: &TcpListener) -> (TcpStream, Vec<String>) {
    let stream = accept(listener);
    let mut lines = Vec::new();
    for line in BufReader::new(&stream).lines() {
        let line = line.expect("the request is text").to_lowercase();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    (stream, lines)
}

fn answer_with_events(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is sent");
}

fn events(address: &str, options: &str) -> Running {
    start(&format!("orders=sse+http://{address}/changes{options}"))
}

#[test]
fn events_are_resumed_after_the_last_id() {
    let (listener, address) = listener();
    let feed = events(&address, "?header.X-Token=secret");
    let (mut stream, request) = accept_request(&listener);
    assert!(
        request.contains(&"get /changes http/1.1".to_owned()),
        "{request:?}"
    );
    assert!(request.contains(&"accept: text/event-stream".to_owned()));
    assert!(request.contains(&"x-token: secret".to_owned()));
    assert!(!request.iter().any(|line| line.starts_with("last-event-id")));
    answer_with_events(&mut stream);
    let text = "retry: 20\n\nid: 7\ndata: {\"n\":1}\n\n: a comment\ndata: {\ndata: \"n\": 2}\n\n";
    stream.write_all(text.as_bytes()).expect("it is sent");
    assert_eq!(feed.lines(2), ["{\"n\":1}", "{ \"n\": 2}"]);
    assert_eq!(feed.connections(), 1);
    // An event that is not whole comes again.
    stream
        .write_all(b"id: 8\ndata: {\"n\":3}\n")
        .expect("it is sent");
    drop(stream);
    let (mut stream, request) = accept_request(&listener);
    assert!(
        request.contains(&"last-event-id: 7".to_owned()),
        "{request:?}"
    );
    answer_with_events(&mut stream);
    stream
        .write_all(b"data: {\"n\":3}\n\n")
        .expect("it is sent");
    assert_eq!(feed.lines(1), ["{\"n\":3}"]);
    feed.stop();
}

#[test]
fn events_are_read_however_they_come() {
    let (listener, address) = listener();
    let feed = events(&address, "?max_line=64");
    let (mut stream, _) = accept_request(&listener);
    stream.set_nodelay(true).expect("it is set");
    answer_with_events(&mut stream);
    let long = "x".repeat(100);
    let text = format!(
        "\u{feff}event: order\r\ndata:1\r\n\r\ndata: 2\r\rdata: 3\n\ndata: {long}\n\ndata\n\nid\ndata: 4\n\n"
    );
    for byte in text.bytes() {
        stream.write_all(&[byte]).expect("it is sent");
    }
    let (mut lines, mut too_long) = (Vec::new(), 0);
    while lines.len() < 4 {
        let piece = feed.next();
        too_long += usize::from(piece.too_long.is_some());
        lines.extend(lines_of(&piece));
    }
    assert_eq!(
        (lines, too_long),
        (["1", "2", "3", "4"].map(str::to_owned).to_vec(), 1)
    );
    feed.stop();
}

#[test]
fn a_server_of_events_may_fail_and_may_end_it() {
    let (listener, address) = listener();
    let feed = events(&address, "");
    let (mut stream, _) = accept_request(&listener);
    let answer = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).expect("it is sent");
    feed.wait_for_fault("the server answers with status 503");
    let (mut stream, _) = accept_request(&listener);
    let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).expect("it is sent");
    feed.ends();
}

#[test]
fn a_full_queue_makes_a_server_wait_and_loses_nothing() {
    const EVENTS: usize = 400_000;
    let (listener, address) = listener();
    let feed = events(&address, "");
    let (mut stream, _) = accept_request(&listener);
    answer_with_events(&mut stream);
    let server = thread::spawn(move || {
        for from in (0..EVENTS).step_by(1000) {
            let text: String = (from..from + 1000)
                .map(|n| format!("data: {{\"n\":{n},\"text\":\"{}\"}}\n\n", "x".repeat(40)))
                .collect();
            stream.write_all(text.as_bytes()).expect("it is sent");
        }
        stream
    });
    wait_until("the queue is full", || feed.inlet.waiting() == 64);
    let mut next = 0;
    while next < EVENTS {
        for line in lines_of(&feed.next()) {
            assert!(line.starts_with(&format!("{{\"n\":{next},")), "{line}");
            next += 1;
        }
    }
    let _stream = server.join().expect("the server is done");
    feed.stop();
}
