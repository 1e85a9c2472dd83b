//! The example of the guide: its plug-in at work on many threads, a careless one refused, runs that last too long ended.

#[path = "../../../examples/gateway/service.rs"]
mod service;

use std::time::Duration;

use service::Gateway;
use skep_embed::{CallError, Limits, LoadError};

const GATE: &[u8] = include_bytes!("../../../examples/gateway/gate.s");
const CARELESS: &[u8] = include_bytes!("../../../examples/gateway/careless.s");
const HEADER: &str = include_str!("../../../examples/gateway/gateway.h");

/// Longer than any limit here, but with an end.
const SLOW: &[u8] = br#"
.section "request"
.function slow
    r0 = 0
again:
    r0 += 1
    if r0 < 100000 goto again
    r0 = 0
    exit
"#;

#[test]
fn the_header_is_fresh() {
    assert_eq!(Gateway::offer().c_header(), HEADER);
}

#[test]
fn the_plugin_decides() {
    let gateway = Gateway::new(GATE).unwrap_or_else(|error| panic!("{error}"));
    let status = |client, path| {
        gateway
            .status(client, path)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(status(7, "/admin"), 403);
    assert_eq!(status(1, "/admin"), 200);
    assert_eq!(status(7, ""), 200);
    assert_eq!(gateway.accounts.take_notes(), ["/admin"]);
    for _ in 0..5 {
        assert_eq!(status(7, "/a/b/c/d"), 200);
    }
    assert_eq!(status(7, "/a"), 429);
    // What the helper charged is in the state that the gateway sees.
    assert_eq!(gateway.accounts.charge(7, 0), 21);
}

#[test]
fn constants_are_set_before_loading() {
    let gateway = Gateway::with(Gateway::offer().global("budget", &2u64), GATE);
    let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(gateway.status(7, "/a/b").ok(), Some(200));
    assert_eq!(gateway.status(7, "/").ok(), Some(429));
}

#[test]
fn a_careless_plugin_is_refused_with_its_line() {
    let error = match Gateway::new(CARELESS) {
        Ok(_) => panic!("a plug-in that reads past the end was loaded"),
        Err(error) => error,
    };
    assert!(matches!(error, LoadError::Refused(_)), "{error:?}");
    let text = error.to_string();
    for part in [
        "error[verifier-packet-bounds]",
        "./gateway/careless.bpf.c:9:6",
        "if (path[1] == 'a')",
        "the pointer into the packet is read from the context here",
        "if (p + 2 > data_end) return 0;",
        "the program then verifies",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn many_threads_ask_at_once() {
    let gateway = Gateway::with(Gateway::offer().global("budget", &u64::MAX), GATE);
    let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for _ in 0..200 {
                    assert_eq!(gateway.status(thread + 10, "/a/b/c").ok(), Some(200));
                    assert_eq!(gateway.status(2, "/x").ok(), Some(200));
                }
            });
        }
    });
    for thread in 0..8 {
        assert_eq!(gateway.accounts.charge(thread + 10, 0), 3 * 200);
    }
    assert_eq!(gateway.accounts.charge(2, 0), 8 * 200);
}

#[test]
fn budget_and_time_end_a_slow_plugin() {
    let gateway = Gateway::new(SLOW).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(
        gateway.status(1, "/"),
        Err(CallError::Budget { insns: 100_000 })
    ));
    let timed = Gateway::offer().limits(Limits {
        timeout: Some(Duration::ZERO),
        ..Limits::default()
    });
    let gateway = Gateway::with(timed, SLOW).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(
        gateway.status(1, "/"),
        Err(CallError::TimedOut { .. })
    ));
    let free = Gateway::offer().limits(Limits::default());
    let gateway = Gateway::with(free, SLOW).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(gateway.status(1, "/").ok(), Some(200));
}
