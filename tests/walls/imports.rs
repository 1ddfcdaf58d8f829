//! Who imports from whom. A name that a module passes on (`pub use`) counts for the module that defines it.

use crate::{
    sources::Module,
    tokens::{Token, is_name, starts_with},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

type Path = Vec<String>;

/// One module's wish for something of another.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub from: Path,
    pub to: Path,
    /// Where it stands: file and line.
    pub place: String,
}

/// A name in a module that stands for something of this crate.
struct Alias {
    module: Path,
    name: String,
    target: Path,
}

/// A path as it stands in a source, from the crate down.
struct Mention {
    from: Path,
    path: Path,
    place: String,
}

/// What modules import from others, neither of which lies inside the other.
pub(crate) fn imports(modules: &[Module]) -> Vec<Import> {
    let mut crate_of =
        Crate { modules: modules.iter().map(|module| module.path.clone()).collect(), aliases: Vec::new() };
    let mut mentions = Vec::new();
    for module in modules {
        let (uses, aliases) = crate_of.uses(module);
        mentions.extend(uses);
        crate_of.aliases.extend(aliases);
    }
    for module in modules {
        mentions.extend(crate_of.mentions(module));
    }
    let mut imports = Vec::new();
    for Mention { from, path, place } in mentions {
        for to in crate_of.defining(&path, 0) {
            if !from.starts_with(&to) && !to.starts_with(&from) {
                imports.push(Import { from: from.clone(), to, place: place.clone() });
            }
        }
    }
    imports
}

/// The circles among the modules of one folder, each as a line that names its imports. A module and all that lies inside
/// it count as one.
pub(crate) fn circles(imports: &[Import], folder: &[&str]) -> Vec<String> {
    let mut edges: BTreeMap<(&str, &str), &Import> = BTreeMap::new();
    for import in imports {
        let inside = |path: &Path| path.len() > folder.len() && path.iter().zip(folder).all(|(a, b)| a == b);
        if inside(&import.from) && inside(&import.to) && import.from[folder.len()] != import.to[folder.len()] {
            edges.entry((&import.from[folder.len()], &import.to[folder.len()])).or_insert(import);
        }
    }
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for &(from, to) in edges.keys() {
        let Some(back) = way(&edges, to, from) else { continue };
        // Each circle once, whichever of its imports is looked at first.
        let mut sorted = back.clone();
        sorted.sort_unstable();
        if seen.insert(sorted) {
            let steps = back.iter().zip(back.iter().cycle().skip(1)).map(|(&a, &b)| {
                let Import { from, to, place } = edges[&(a, b)];
                format!("{} → {} ({place})", from.join("::"), to.join("::"))
            });
            circles.push(format!("{}: {}", folder.join("::"), steps.collect::<Vec<_>>().join(", ")));
        }
    }
    circles
}

/// Every folder with modules in it, below the top-level module `name`, itself included.
pub(crate) fn folders<'a>(modules: &'a [Module], name: &str) -> BTreeSet<Vec<&'a str>> {
    let inside = modules.iter().filter(|module| module.path.len() > 1 && module.path[0] == name);
    inside.map(|module| module.path[..module.path.len() - 1].iter().map(String::as_str).collect()).collect()
}

/// The shortest way over `edges`, both ends included.
fn way<'a>(edges: &BTreeMap<(&'a str, &'a str), &Import>, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop_front() {
        let last = *way.last()?;
        if last == to {
            return Some(way);
        }
        for &(_, next) in edges.keys().filter(|(from, _)| *from == last) {
            if seen.insert(next) {
                ways.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

struct Crate {
    modules: BTreeSet<Path>,
    aliases: Vec<Alias>,
}

impl Crate {
    /// What the `use`s of a module mention, and the names that they bring.
    fn uses(&self, module: &Module) -> (Vec<Mention>, Vec<Alias>) {
        let (mut mentions, mut aliases) = (Vec::new(), Vec::new());
        for (i, scope) in scopes(module) {
            if module.tokens[i].text != "use" {
                continue;
            }
            let mut leaves = Vec::new();
            leaves_of(&module.tokens, i + 1, &[], &mut leaves);
            let is_passed_on = is_public(&module.tokens[..i]);
            for (path, name) in leaves {
                let Some(target) = self.absolute(&scope, &path) else { continue };
                if let Some(name) = name {
                    aliases.push(Alias { module: scope.clone(), name, target: target.clone() });
                }
                // What a module passes on of its own parts is no import.
                if !(is_passed_on && target.starts_with(&scope)) {
                    let place = format!("{}:{}", module.file, module.tokens[i].line);
                    mentions.push(Mention { from: module.path.clone(), path: target, place });
                }
            }
        }
        (mentions, aliases)
    }

    /// The paths that stand in a module's code, outside its `use`s.
    fn mentions(&self, module: &Module) -> Vec<Mention> {
        let tokens = &module.tokens;
        let mut mentions = Vec::new();
        let mut past_use = 0;
        for (i, scope) in scopes(module) {
            if tokens[i].text == "use" {
                past_use = i + tokens[i..].iter().position(|token| token.text == ";").unwrap_or(0);
            }
            let before = i.checked_sub(1).map_or("", |i| tokens[i].text.as_str());
            // `pub(in crate::a)` says who sees something.
            if i < past_use || !is_name(&tokens[i].text) || matches!(before, "::" | "." | "in") {
                continue;
            }
            let mut path = vec![tokens[i].text.clone()];
            let mut at = i + 1;
            while starts_with(&tokens[at..], &["::"]) && tokens.get(at + 1).is_some_and(|next| is_name(&next.text)) {
                path.push(tokens[at + 1].text.clone());
                at += 2;
            }
            let alias = self.alias(&scope, &path[0]).map(|target| [target.as_slice(), &path[1..]].concat());
            let target = match path[0].as_str() {
                "crate" | "super" | "self" => self.absolute(&scope, &path),
                _ => alias,
            };
            if let Some(path) = target.filter(|_| path.len() > 1) {
                let place = format!("{}:{}", module.file, tokens[i].line);
                mentions.push(Mention { from: module.path.clone(), path, place });
            }
        }
        mentions
    }

    /// From the crate down. `None` for what is not of this crate.
    fn absolute(&self, scope: &[String], path: &[String]) -> Option<Path> {
        let rest = |from: usize, up: usize| {
            let base = &scope[..scope.len().checked_sub(up)?];
            Some([base, &path[from..]].concat())
        };
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => rest(1, 0),
            "super" => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                rest(up, up)
            }
            _ => rest(0, 0).filter(|path| self.modules.contains(&path[..=scope.len()])),
        }
    }

    fn alias(&self, module: &[String], name: &str) -> Option<&Path> {
        self.aliases.iter().find(|alias| alias.module == module && alias.name == name).map(|alias| &alias.target)
    }

    /// The modules that define what `path` leads to: several where a function is named like a module.
    fn defining(&self, path: &[String], passed: usize) -> Vec<Path> {
        // More hops than any name takes: a name that leads to itself.
        if passed > 16 {
            return Vec::new();
        }
        for i in 0..path.len() {
            let (module, rest) = (&path[..i], &path[i + 1..]);
            let is_module = self.modules.contains(&path[..=i]);
            let alias = self.alias(module, &path[i]).filter(|_| !is_module || rest.is_empty());
            if is_module && alias.is_none() {
                continue;
            }
            let mut found = if is_module { vec![path.to_vec()] } else { Vec::new() };
            match alias {
                Some(target) => found.extend(self.defining(&[target.as_slice(), rest].concat(), passed + 1)),
                None => found.push(module.to_vec()),
            }
            return found;
        }
        vec![path.to_vec()]
    }
}

/// Every token's index and the module that it is in, which may be one within the file.
fn scopes(module: &Module) -> Vec<(usize, Path)> {
    let tokens = &module.tokens;
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut scopes = Vec::new();
    for i in 0..tokens.len() {
        inner.retain(|(_, end)| i < *end);
        scopes.push((i, module.path.iter().cloned().chain(inner.iter().map(|(name, _)| name.clone())).collect()));
        if tokens[i].text == "mod" && tokens.get(i + 2).is_some_and(|token| token.text == "{") {
            inner.push((tokens[i + 1].text.clone(), crate::tokens::end_of_group(tokens, i + 2)));
        }
    }
    scopes
}

/// Whether what follows `before` is public, if only within the crate.
fn is_public(before: &[Token]) -> bool {
    match before.last().map(|token| token.text.as_str()) {
        Some("pub") => true,
        Some(")") => before.iter().rev().take(8).any(|token| token.text == "pub"),
        _ => false,
    }
}

/// The paths of a `use` from `at` on, each with the name that it brings. Gives the index past it.
fn leaves_of(tokens: &[Token], mut at: usize, prefix: &[String], leaves: &mut Vec<(Path, Option<String>)>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        let text = tokens.get(at).map_or(";", |token| token.text.as_str());
        match text {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = leaves_of(tokens, at, &path, leaves);
                    if starts_with(&tokens[at..], &[","]) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                leaves.push((path, None));
                return at + 1;
            }
            "as" => {
                leaves.push((path, Some(tokens[at + 1].text.clone())));
                return at + 2;
            }
            name if is_name(name) => {
                // `a::{self}` is `a`.
                if name != "self" || path.is_empty() {
                    path.push(name.to_owned());
                }
                at += 1;
                if !matches!(tokens.get(at).map(|token| token.text.as_str()), Some("::" | "as")) {
                    let name = path.last().cloned();
                    leaves.push((path, name));
                    return at;
                }
            }
            _ => return at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(sources: &[(&str, &str)]) -> Vec<String> {
        let modules: Vec<Module> =
            sources.iter().map(|(path, source)| Module::new(path, &format!("{path}.rs"), source)).collect();
        let imports = imports(&modules);
        folders(&modules, "t").iter().flat_map(|folder| circles(&imports, folder)).collect()
    }

    #[test]
    fn a_circle_is_named_with_its_places() {
        let found = circles_of(&[
            ("t", "mod a; mod b; mod c;"),
            ("t::a", "\nuse super::b::B;"),
            ("t::b", "use crate::{x::Y, t::{c::{self, C}}};"),
            ("t::c", "fn f() { super::a::g(); }"),
        ]);
        assert_eq!(found, ["t: t::b → t::c (t::b.rs:1), t::c → t::a (t::c.rs:1), t::a → t::b (t::a.rs:2)"]);
    }

    #[test]
    fn a_circle_hides_behind_no_name_that_is_passed_on() {
        let facade = "mod a; mod b; pub use a::A; pub(crate) use b::{B as Other};";
        let found = circles_of(&[("t", facade), ("t::a", "use super::Other;"), ("t::b", "use crate::t::A;")]);
        assert_eq!(found.len(), 1, "{found:?}");
        let through_module = [("t", facade), ("t::a", "use crate::t; fn f() { t::b::g() }"), ("t::b", "use super::A;")];
        assert_eq!(circles_of(&through_module).len(), 1);
        let through_inner =
            [("t", facade), ("t::a", "mod i { fn f() { super::super::b::g() } }"), ("t::b", "use super::A;")];
        assert_eq!(circles_of(&through_inner).len(), 1);
        let deep = [
            ("t", "mod a; mod b;"),
            ("t::a", "mod x;"),
            ("t::a::x", "use super::super::b::B;"),
            ("t::b", "mod y;"),
            ("t::b::y", "use crate::t::a::X;"),
        ];
        assert_eq!(circles_of(&deep).len(), 1);
    }

    #[test]
    fn imports_one_way_are_no_circle() {
        let found = circles_of(&[
            ("t", "mod a; mod b; pub use a::A;"),
            // Of itself, of its parent, of another crate, in a test, and as who sees something.
            ("t::a", "use self::A; use super::T; use b::B; #[cfg(test)] mod tests { use super::super::b::B; }"),
            ("t::b", "use super::a::A; pub(in crate::t::a) fn f() {} // super::a\n"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
