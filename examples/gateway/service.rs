//! A gateway that asks a plug-in about each request: what the plug-in sees, what it can call, and how it is called.
//!
//! Invariant: whatever a plug-in does, a request gets an answer, and the client's token stays with the gateway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skep_embed::{Builder, Bytes, CallError, Context, Limits, LoadError, Plugin};

/// What a plug-in sees of a request. It may read the first two fields, write the third, and does not know the last.
#[derive(Context)]
#[repr(C)]
#[bpf(name = "request")]
pub struct Request<'a> {
    #[bpf(read)]
    pub path: Bytes<'a>,
    #[bpf(read)]
    pub client: u32,
    #[bpf(read, write)]
    pub status: u32,
    pub token: u64,
}

/// What plug-ins' calls have to do with: the gateway's own state, which every thread shares.
#[derive(Default)]
pub struct Accounts {
    spent: Mutex<HashMap<u32, u64>>,
    notes: Mutex<Vec<String>>,
}

impl Accounts {
    /// Adds to what the client has spent; answers the sum.
    pub fn charge(&self, client: u32, cost: u64) -> u64 {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = spent.entry(client).or_default();
        *sum = sum.saturating_add(cost);
        *sum
    }

    /// Keeps a line for the log.
    pub fn note(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    /// The lines since the last time.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The gateway.
pub struct Gateway {
    plugin: Plugin<Request<'static>, Accounts>,
    pub accounts: Accounts,
}

impl Gateway {
    /// All that a plug-in gets.
    pub fn offer() -> Builder<Request<'static>, Accounts> {
        Plugin::<Request<'static>, Accounts>::builder()
            .helper(
                "charge",
                1000,
                |accounts: &Accounts, client: u32, cost: u64| accounts.charge(client, cost),
            )
            .helper("note", 1001, |accounts: &Accounts, text: &[u8]| {
                accounts.note(text)
            })
            .returns(0..=1)
            .limits(Limits {
                insns: Some(100_000),
                timeout: Some(Duration::from_millis(5)),
                ..Limits::default()
            })
    }

    /// With the plug-in that an object holds in its section "request".
    pub fn new(object: &[u8]) -> Result<Gateway, LoadError> {
        Gateway::with(Gateway::offer(), object)
    }

    /// The same with an offer that was changed.
    pub fn with(
        offer: Builder<Request<'static>, Accounts>,
        object: &[u8],
    ) -> Result<Gateway, LoadError> {
        Ok(Gateway {
            plugin: offer.load(object, "request")?,
            accounts: Accounts::default(),
        })
    }

    /// The status of a request, as the plug-in decides; any thread may ask.
    pub fn status(&self, client: u32, path: &str) -> Result<u32, CallError> {
        let mut request = Request {
            path: Bytes::new(path.as_bytes()),
            client,
            status: 200,
            token: 0x5ec7e7,
        };
        self.plugin.call_with(&mut request, &self.accounts)?;
        Ok(request.status)
    }
}
