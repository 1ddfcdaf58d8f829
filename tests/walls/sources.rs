//! The modules of the program: those that `lib.rs` reaches without passing through a test.

use crate::tokens::{Token, is_name, production, starts_with};
use std::{fs, path::Path};

/// A module in a file of its own.
pub(crate) struct Module {
    /// From the crate down: `["train", "recipe", "field"]`. Empty for `lib.rs`.
    pub path: Vec<String>,
    /// Within the sources.
    pub file: String,
    pub tokens: Vec<Token>,
}

impl Module {
    pub(crate) fn new(path: &str, file: &str, source: &str) -> Self {
        Self { path: segments(path), file: file.to_owned(), tokens: production(source) }
    }

    /// The modules that it says are in files of their own.
    fn children(&self) -> impl Iterator<Item = &str> {
        let declared = self.tokens.windows(3).filter(|three| starts_with(three, &["mod"]) && three[2].text == ";");
        declared.map(|three| three[1].text.as_str()).filter(|name| is_name(name))
    }
}

pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// All modules of the crate in `src`.
pub(crate) fn read(src: &Path) -> Vec<Module> {
    let mut modules = vec![module(src, &[])];
    let mut next = 0;
    while let Some(parent) = modules.get(next) {
        let children: Vec<Module> = parent
            .children()
            .map(|child| {
                let path: Vec<&str> = parent.path.iter().map(String::as_str).chain([child]).collect();
                module(src, &path)
            })
            .collect();
        modules.extend(children);
        next += 1;
    }
    modules
}

fn module(src: &Path, path: &[&str]) -> Module {
    let name = path.join("/");
    let candidates =
        if path.is_empty() { vec!["lib.rs".to_owned()] } else { vec![format!("{name}.rs"), format!("{name}/mod.rs")] };
    let file = candidates.into_iter().find(|file| src.join(file).is_file()).unwrap_or_else(|| panic!("no file {name}"));
    let source = fs::read_to_string(src.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    Module::new(&path.join("::"), &file, &source)
}
