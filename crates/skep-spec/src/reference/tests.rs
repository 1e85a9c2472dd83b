//! Every row reaches its page.

use super::*;

#[test]
fn every_row_of_every_table_has_a_line() {
    let page = opcodes();
    assert!(
        opcode::all()
            .iter()
            .all(|row| page.contains(&format!("| {} |", row.name)))
    );
    assert!(
        !page.contains(".slot"),
        "an example is no valid instruction"
    );
    let page = helpers();
    assert!(
        helper::all()
            .iter()
            .all(|helper| page.contains(&format!("`{}(", helper.name)))
    );
    let page = sections();
    assert!(
        section::FORMS
            .iter()
            .all(|form| page.contains(&format!("| `{}` |", form.pattern)))
    );
    assert!(
        AttachType::ALL
            .iter()
            .all(|one| page.contains(one.constant()))
    );
    let page = contexts();
    assert!(
        context::ALL
            .iter()
            .all(|(who, _)| page.contains(&format!("## {who}\n")))
    );
    let page = map_types();
    assert!(MapType::ALL.iter().all(|one| page.contains(one.constant())));
}

#[test]
fn tables_have_as_many_cells_as_their_heads() {
    for page in [opcodes(), helpers(), sections(), contexts(), map_types()] {
        let mut width = None;
        for line in page.lines() {
            let cells = line.replace("\\|", "").matches('|').count();
            match (line.starts_with('|'), width) {
                (false, _) => width = None,
                (true, None) => width = Some(cells),
                (true, Some(width)) => assert_eq!(cells, width, "{line}"),
            }
        }
    }
}
