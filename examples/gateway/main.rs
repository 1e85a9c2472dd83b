//! Serves the gateway on a TCP port: one line "CLIENT PATH" a request, one line with its status an answer.
//!
//!     cargo run -p skep-embed --example gateway -- examples/gateway/gate.s 7070
//!     printf '7 /a/b\n7 /admin\n' | nc -q1 localhost 7070
//!
//! `--header` prints the header that plug-ins in C include.

mod service;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use service::Gateway;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match &args[..] {
        [flag] if flag == "--header" => {
            print!("{}", Gateway::offer().c_header());
            Ok(())
        }
        [object, port] => serve(object, port),
        _ => Err("usage: gateway OBJECT PORT | gateway --header".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn serve(object: &str, port: &str) -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::new(&std::fs::read(object)?)?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let (stream, gateway) = (stream?, &gateway);
            scope.spawn(move || answer(gateway, stream));
        }
        Ok(())
    })
}

fn answer(gateway: &Gateway, mut stream: TcpStream) -> std::io::Result<()> {
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        let Some((client, path)) = line.split_once(' ') else {
            writeln!(stream, "400")?;
            continue;
        };
        match gateway.status(client.parse().unwrap_or(0), path) {
            Ok(status) => writeln!(stream, "{status}")?,
            Err(error) => writeln!(stream, "500 {error}")?,
        }
        for note in gateway.accounts.take_notes() {
            eprintln!("client {client}: {note}");
        }
    }
    Ok(())
}
