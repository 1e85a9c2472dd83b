//! `skep maps`: shows the maps that a run has saved (`--save-maps`), as the run itself shows them.
//!
//! Invariant: nothing is loaded or run; the file is all that is needed.

use clap::Args;

use crate::exit::Failure;
use crate::output::{self, maps, saved_maps};

/// Show the maps that a run has saved.
#[derive(Args)]
pub struct Maps {
    /// The file that `skep run --save-maps FILE` or `skep test-run --save-maps FILE` wrote; `-` for standard input.
    file: String,
    /// Show these maps only.
    map: Vec<String>,
}

impl Maps {
    pub fn run(&self, json: bool) -> Result<(), Failure> {
        let saved = saved_maps::load(&self.file)?;
        for name in &self.map {
            if !saved.iter().any(|map| map.name() == name) {
                let known: Vec<&str> = saved.iter().map(|map| map.name()).collect();
                return Err(Failure::usage(format!(
                    "{} has no map `{name}`; it has: {}",
                    self.file,
                    known.join(", ")
                )));
            }
        }
        let mut text = Vec::new();
        maps::show_chosen(&saved, &self.map, false, json, &mut text)
            .map_err(|error| Failure::system(error.to_string()))?;
        output::print_bytes(&text)
    }
}
