//! The walls of the house, held by reading its sources: imports go one way, and a function fits a screen.

mod imports;
mod lengths;
mod sources;
mod tokens;

use sources::Module;
use std::path::Path;

/// Each top-level module imports only from those before it. Of those who start the program, the terminal knows the
/// window, which it opens.
const ORDER: [&str; 15] = [
    "text", "format", "median", "file", "atomic", "cache", "device", "data", "ops", "model", "weights", "train",
    "session", "app", "cli",
];
/// Where modules form no circle.
const NO_CIRCLES: [&str; 10] = ["cache", "device", "data", "ops", "model", "weights", "train", "session", "app", "cli"];
const MOST_LINES: usize = 80;

fn modules() -> Vec<Module> {
    sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn expect_none(found: Vec<String>, what: &str) {
    assert!(found.is_empty(), "{what}:\n{}\n", found.join("\n"));
}

#[test]
fn all_of_the_program_is_read() {
    let modules = modules();
    for name in ORDER {
        assert!(modules.iter().any(|module| module.path == [name]), "no module {name}");
    }
    let top = modules.iter().filter(|module| module.path.len() == 1).count();
    assert_eq!(top, ORDER.len(), "a top-level module has no place in the order of imports");
    let functions: usize = modules.iter().map(|module| lengths::functions(module).len()).sum();
    let imports = imports::imports(&modules).len();
    assert!(modules.len() > 200 && functions > 1500 && imports > 1000, "{} {functions} {imports}", modules.len());
}

#[test]
fn modules_import_only_from_those_below() {
    let place = |name: &String| ORDER.iter().position(|module| module == name);
    let imports = imports::imports(&modules());
    let upward = imports.iter().filter(|import| place(&import.from[0]) < place(&import.to[0]));
    let lines =
        upward.map(|import| format!("{}: {} of {}", import.place, import.to.join("::"), import.from.join("::")));
    expect_none(lines.collect(), "imports that go up");
}

#[test]
fn modules_form_no_circles() {
    let modules = modules();
    let imports = imports::imports(&modules);
    let folders = NO_CIRCLES.iter().flat_map(|name| imports::folders(&modules, name));
    expect_none(folders.flat_map(|folder| imports::circles(&imports, &folder)).collect(), "circles of imports");
}

#[test]
fn functions_fit_a_screen() {
    let modules = modules();
    let functions = modules.iter().flat_map(|module| lengths::functions(module).into_iter().map(move |f| (module, f)));
    let long = functions.filter(|(_, function)| function.lines > MOST_LINES);
    let lines = long.map(|(module, f)| format!("src/{}:{}: {} takes {} lines", module.file, f.line, f.name, f.lines));
    expect_none(lines.collect(), "functions of more than 80 lines");
}
