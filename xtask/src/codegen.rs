//! Writes the pages that come from tables and fixtures, or checks that they are fresh: docs/reference, docs/errors/verifier-*.

use std::fs;
use std::path::Path;

/// A page and the function that renders it.
type Page = (&'static str, fn() -> String);

const PAGES: &[Page] = &[
    ("opcodes.md", skep_spec::reference::opcodes),
    ("helpers.md", skep_spec::reference::helpers),
    ("sections.md", skep_spec::reference::sections),
    ("contexts.md", skep_spec::reference::contexts),
    ("maps.md", skep_spec::reference::map_types),
    ("kfuncs.md", skep_spec::reference::kfuncs),
    ("kernels.md", skep_spec::reference::kernels),
];

/// Writes every page; with `--check` only compares.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let check = args.iter().any(|arg| arg == "--check");
    let folder = root.join("docs/reference");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, render) in PAGES {
        let path = folder.join(name);
        let fresh = render();
        let old = fs::read_to_string(&path).unwrap_or_default();
        if old == fresh {
            continue;
        }
        if check {
            return Err(format!(
                "docs/reference/{name} is stale: run `cargo xtask codegen`"
            ));
        }
        fs::write(&path, fresh).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("wrote docs/reference/{name}");
    }
    errors(root, check)
}

/// The pages of the verifier's rejections, whose examples are the fixtures.
fn errors(root: &Path, check: bool) -> Result<(), String> {
    let folder = root.join("docs/errors");
    for (name, fresh) in skep_filetests::pages::pages(root)? {
        let path = folder.join(&name);
        if fs::read_to_string(&path).unwrap_or_default() == fresh {
            continue;
        }
        if check {
            return Err(format!(
                "docs/errors/{name} is stale: run `cargo xtask codegen`"
            ));
        }
        fs::write(&path, fresh).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("wrote docs/errors/{name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_is_fresh() {
        super::run(&crate::root(), &["--check".to_owned()])
            .expect("generated pages match the tables");
    }
}
