//! Classes that a mirror may turn into one another.
//!
//! Flipping every other image is a good default until one class is the mirror image of another: a network that is shown
//! left hands as right hands learns neither. Only their names say so before training, so whoever trains is asked.

use std::collections::HashMap;

/// Words and signs for one side and the other, in lower case. A pair counts only where both names are classes, so that a
/// word that means something else as well does no harm.
const SIDES: [(&str, &str); 33] = [
    ("left", "right"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("izquierd", "derech"),
    ("esquerd", "direit"),
    ("sinistr", "destr"),
    ("lew", "praw"),
    ("лев", "прав"),
    ("vänster", "höger"),
    ("venstre", "højre"),
    ("venstre", "høyre"),
    ("vasen", "oikea"),
    ("sol", "sağ"),
    ("bal", "jobb"),
    ("左", "右"),
    ("왼", "오른"),
    ("ซ้าย", "ขวา"),
    ("trái", "phải"),
    ("kiri", "kanan"),
    ("बाएं", "दाएं"),
    ("يسار", "يمين"),
    ("west", "east"),
    ("port", "starboard"),
    ("counterclockwise", "clockwise"),
    ("anticlockwise", "clockwise"),
    ("←", "→"),
    ("↖", "↗"),
    ("↙", "↘"),
    ("<", ">"),
    ("(", ")"),
];

/// Letters that are each other's mirror image where they are the whole name.
const LETTERS: [(&str, &str); 2] = [("b", "d"), ("p", "q")];

/// The first two classes whose names say that a mirror may turn one into the other.
pub(crate) fn mirrored_classes(classes: &[String]) -> Option<(&str, &str)> {
    // Letters differ in case: of B and D neither is the other's mirror image.
    let exact = |name: &str| classes.iter().find(|class| class.as_str() == name);
    let letters = LETTERS.iter().find_map(|(one, other)| Some((exact(one)?.as_str(), exact(other)?.as_str())));
    letters.or_else(|| {
        let known: HashMap<String, &str> = classes.iter().map(|class| (class.to_lowercase(), class.as_str())).collect();
        classes.iter().find_map(|class| {
            let other = mirrors(&class.to_lowercase()).find_map(|mirror| known.get(&mirror).copied())?;
            Some((class.as_str(), other))
        })
    })
}

/// What a name in lower case turns into when its sides are exchanged.
fn mirrors(name: &str) -> impl Iterator<Item = String> {
    let words = SIDES.iter().filter(move |(one, other)| name.contains(one) || name.contains(other));
    // All at once, as in `left to right`.
    let exchanged = words.map(move |(one, other)| name.replace(one, "\0").replace(other, one).replace('\0', other));
    exchanged.chain(abbreviated(name)).filter(move |mirror| mirror != name)
}

/// `hand_l` for `hand_r`. Alone, L and R are letters of an alphabet.
fn abbreviated(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split_inclusive(|c: char| !c.is_alphanumeric()).collect();
    let exchange = |word: &&str| match word.trim_end_matches(|c: char| !c.is_alphanumeric()) {
        "l" => word.replace('l', "r"),
        "r" => word.replace('r', "l"),
        _ => (*word).to_owned(),
    };
    (words.len() > 1).then(|| words.iter().map(exchange).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(classes: &[&str]) -> Option<(String, String)> {
        let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
        mirrored_classes(&classes).map(|(one, other)| (one.to_owned(), other.to_owned()))
    }

    #[test]
    fn names_that_say_two_sides_are_a_pair() {
        for (one, other) in [
            ("left", "right"),
            ("Turn Left", "turn right"),
            ("left_hand", "right_hand"),
            ("leftTurn", "rightTurn"),
            ("left to right", "right to left"),
            ("links", "rechts"),
            ("Linksabbieger", "Rechtsabbieger"),
            ("virage à gauche", "virage à droite"),
            ("mano izquierda", "mano derecha"),
            ("左", "右"),
            ("←", "→"),
            ("b", "d"),
            ("p", "q"),
            ("hand-l", "hand-r"),
            ("L foot", "R foot"),
            ("clockwise", "counterclockwise"),
        ] {
            assert!(found(&["other", one, other]).is_some(), "{one} and {other}");
            assert!(found(&[other, "other", one]).is_some(), "{other} and {one}");
            assert_eq!(found(&["other", one]), None, "{one} alone");
        }
        assert_eq!(found(&["up", "left", "right"]), Some(("left".to_owned(), "right".to_owned())));
    }

    #[test]
    fn names_that_only_look_so_are_none() {
        assert_eq!(found(&["B", "D"]), None);
        assert_eq!(found(&["L", "R"]), None);
        assert_eq!(found(&["bright", "dark"]), None);
        assert_eq!(found(&["cat", "dog", "portrait"]), None);
        assert_eq!(found(&[]), None);
    }
}
