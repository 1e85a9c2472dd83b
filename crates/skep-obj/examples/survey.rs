//! survey
fn main() {
    let mut ok = 0;
    let mut n = 0;
    for f in std::env::args().skip(1) {
        n += 1;
        let b = std::fs::read(&f).unwrap();
        match skep_obj::Object::parse(
            &b,
            &skep_obj::ParseOptions {
                name: "x".into(),
                legacy_maps: true,
            },
        ) {
            Ok(o) => {
                ok += 1;
                let bad: Vec<String> = o
                    .programs
                    .iter()
                    .filter_map(|p| o.link(p).err().map(|e| format!("{e}")))
                    .collect();
                println!(
                    "ok   {f} programs {} fns {} maps {} ext {} unk {:?} linkerr {:?}",
                    o.programs.len(),
                    o.functions.len(),
                    o.maps.len(),
                    o.externs.len(),
                    o.unknown_sections
                        .iter()
                        .map(|u| &u.name)
                        .collect::<Vec<_>>(),
                    bad
                )
            }
            Err(e) => println!("FAIL {f}: {e}"),
        }
    }
    println!("{ok} of {n}");
}
