//! Who may send to a port: tokens, TLS, certificates of clients, and ports that others can reach.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::support::{Running, refusal, start};

fn port(running: &Running) -> u16 {
    running.address.expect("it tells its address").port()
}

fn send(running: &Running, text: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port(running))).expect("it listens");
    // Who is turned away may find the connection closed.
    let _is_closed = stream.write_all(text.as_bytes());
}

#[test]
fn a_port_that_others_reach_demands_something_or_says_that_it_is_open() {
    for location in ["tcp://0.0.0.0:0", "udp://0.0.0.0:0", "tcp://[::]:0"] {
        let told = refusal(&format!("orders={location}"));
        assert!(told.contains("could be sent to by everybody"), "{told}");
        assert!(told.contains("open=yes"), "{told}");
        start(&format!("orders={location}?open=yes")).stop();
    }
    let told = refusal("orders=tcp://127.0.0.1:0?open=perhaps");
    assert!(told.contains("yes or no"), "{told}");
}

#[test]
fn a_token_is_demanded_in_the_first_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret token\n").expect("a file");
    let input = format!("orders=tcp://0.0.0.0:0?token_file={}", file.display());
    let tcp = start(&input);
    for text in [
        "{\"n\":1}\n",
        "AUTH s3cret\n{\"n\":1}\n",
        "AUTH s3cret token and more\n",
    ] {
        send(&tcp, text);
        tcp.wait_for_fault("its first line is not AUTH and the token");
        tcp.wait_for_connections(0);
    }
    send(&tcp, "AUTH s3cret token\r\n{\"n\":2}\n{\"n\":3}\n");
    let piece = tcp.next();
    assert_eq!(piece.text, b"{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(piece.start, "AUTH s3cret token\r\n".len() as u64);
    // The token may come in pieces.
    let mut slow = TcpStream::connect(("127.0.0.1", port(&tcp))).expect("it listens");
    for part in ["AU", "TH s3cret tok", "en\n{\"n\":", "4}\n"] {
        slow.write_all(part.as_bytes()).expect("it is taken");
        slow.flush().expect("it is sent");
        std::thread::yield_now();
    }
    assert_eq!(tcp.lines(1), ["{\"n\":4}"]);
    drop(slow);
    tcp.stop();

    std::fs::write(&file, "\n").expect("a file");
    assert!(refusal(&input).contains("it holds no token"));
    let told = refusal("orders=tcp://127.0.0.1:0?token_env=TILLRACE_NOT_SET");
    assert!(told.contains("could not use token_env"), "{told}");
}

/// A certificate authority, a server's certificate and a client's, as PEM files.
fn certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a file");
    let named = |name: &str, names: Vec<String>| {
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority", Vec::new());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    write(
        "ca.pem",
        params.self_signed(&key).expect("a certificate").pem(),
    );
    let authority = Issuer::new(params, key);
    for (name, names) in [
        ("server", vec!["localhost".to_owned()]),
        ("client", Vec::new()),
    ] {
        let params = named(name, names);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &authority).expect("a certificate");
        write(&format!("{name}.pem"), made.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// Sends by socat over TLS; nothing if it is not installed.
fn socat(folder: &Path, port: u16, options: &str, text: &str) -> Option<bool> {
    let authority = folder.join("ca.pem");
    let address = format!(
        "OPENSSL:localhost:{port},pf=ip4,cafile={},commonname=localhost{options}",
        authority.display()
    );
    let mut command = Command::new("socat");
    command
        .args(["-u", "STDIN", &address])
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: socat is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().expect("it takes input");
    let _is_closed = stdin.write_all(text.as_bytes());
    drop(stdin);
    Some(child.wait().expect("it ends").success())
}

#[test]
fn socat_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (at("server.pem"), at("server.key"));
    let tcp = start(&format!(
        "orders=tcp://0.0.0.0:0?tls_certificate={certificate}&tls_key={key}"
    ));
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    if socat(folder.path(), port(&tcp), "", &lines) == Some(true) {
        assert!(tcp.lines(20_000).join("\n") + "\n" == lines);
    }
    send(&tcp, "{\"n\":1}\n");
    tcp.wait_for_fault("broke");
    tcp.stop();

    let told = refusal(&format!(
        "orders=tcp://127.0.0.1:0?tls_certificate={certificate}"
    ));
    assert!(told.contains("given together"), "{told}");
    let told = refusal(&format!(
        "orders=tcp://127.0.0.1:0?tls_certificate={certificate}&tls_key={certificate}"
    ));
    assert!(
        told.contains("could not use tls_certificate, tls_key"),
        "{told}"
    );
}

#[test]
fn a_certificate_is_demanded_of_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let tcp = start(&format!(
        "orders=tcp://0.0.0.0:0?tls_certificate={}&tls_key={}&tls_client_ca={}",
        at("server.pem"),
        at("server.key"),
        at("ca.pem")
    ));
    let own = format!(",certificate={},key={}", at("client.pem"), at("client.key"));
    if socat(folder.path(), port(&tcp), "", "{\"n\":1}\n").is_some() {
        tcp.wait_for_fault("broke");
        assert_eq!(
            socat(folder.path(), port(&tcp), &own, "{\"n\":2}\n"),
            Some(true)
        );
        assert_eq!(tcp.lines(1), ["{\"n\":2}"]);
    }
    tcp.stop();
}
