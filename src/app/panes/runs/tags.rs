//! Words that runs are put in order by. A tag is a `#word` of a run's notes: so it is in the run's folder, goes with it
//! into one file, and can be typed anywhere; here it is shown, chosen and taken away as what it is.

use crate::app::widgets::{
    self,
    theme::{self, Palette},
};
use crate::train::RunSummary;
use eframe::egui::{
    Align, Button, Color32, CornerRadius, FontId, Key, Layout, Rect, Response, RichText, Stroke, TextEdit, Ui,
    UiBuilder, vec2,
};

/// The tags of notes without their `#`, in small letters, each once, in the order in which they stand there.
pub(super) fn of(notes: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in notes.split_whitespace().filter_map(tag) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// The tag that a word is.
fn tag(word: &str) -> Option<String> {
    let inner = word.strip_prefix('#')?.trim_end_matches([',', '.', ';', ':', '!', '?', ')']);
    let is_tag = !inner.is_empty() && inner.chars().all(|c| c.is_alphanumeric() || "-_./+".contains(c));
    is_tag.then(|| inner.to_lowercase())
}

/// What somebody typed, as a tag; `None` where it can't be one.
pub(super) fn typed(text: &str) -> Option<String> {
    let words: Vec<&str> = text.trim().trim_start_matches('#').split_whitespace().collect();
    tag(&format!("#{}", words.join("-")))
}

/// The notes with a tag more, on their last line where that has tags only, else on a line of its own.
pub(super) fn with(notes: &str, new: &str) -> String {
    if of(notes).iter().any(|known| known == new) {
        return notes.to_owned();
    }
    let last = notes.lines().last().unwrap_or_default();
    let of_tags = !last.trim().is_empty() && last.split_whitespace().all(|word| tag(word).is_some());
    let gap = if notes.trim().is_empty() {
        ""
    } else if of_tags {
        " "
    } else {
        "\n"
    };
    format!("{}{gap}#{new}", notes.trim_end())
}

/// The notes without a tag.
pub(super) fn without(notes: &str, gone: &str) -> String {
    let line = |line: &str| {
        let has = line.split_whitespace().any(|word| tag(word).as_deref() == Some(gone));
        // A line that has not the tag stays as it is, with all its spaces.
        let kept =
            || line.split_whitespace().filter(|word| tag(word).as_deref() != Some(gone)).collect::<Vec<_>>().join(" ");
        match has {
            true => Some(kept()).filter(|kept| !kept.is_empty()),
            false => Some(line.to_owned()),
        }
    };
    notes.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// The first line of notes that says something beside tags, without them.
pub(super) fn text(notes: &str) -> String {
    let words = |line: &str| line.split_whitespace().filter(|word| tag(word).is_none()).collect::<Vec<_>>().join(" ");
    notes.lines().map(words).find(|line| !line.is_empty()).unwrap_or_default()
}

/// All tags that runs have, those of most runs first.
pub(super) fn known(runs: &[RunSummary]) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for tag in runs.iter().flat_map(|run| of(&run.notes)) {
        match counts.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, count)) => *count += 1,
            None => counts.push((tag, 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.into_iter().map(|(tag, _)| tag).collect()
}

/// The tags of a run in its row, as many as `place` has room for; the one that was pressed. `asked` are those that the list
/// is limited to.
pub(super) fn chips(ui: &mut Ui, place: Rect, run: &RunSummary, asked: impl Fn(&str) -> bool) -> Option<String> {
    let palette = theme::palette(ui);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(place).layout(Layout::left_to_right(Align::Center)));
    inner.spacing_mut().item_spacing.x = 4.0;
    let (mut pressed, mut room) = (None, place.width() - 4.0);
    let tags = of(&run.notes);
    for (at, tag) in tags.iter().enumerate() {
        let text = shortened(tag);
        let wide = widgets::elided(&inner, &text, FontId::proportional(11.0), palette.now, f32::INFINITY).size().x;
        // Room for a sign that there are more, unless this is the last.
        let needed = wide + 16.0;
        if room < needed + if at + 1 < tags.len() { 26.0 } else { 0.0 } {
            let more = RichText::new(format!("+{}", tags.len() - at)).color(palette.weak).size(11.0);
            inner.label(more).on_hover_text(tags.join("\n"));
            break;
        }
        room -= needed;
        let on = asked(tag);
        let help = if on { "Shows all runs again" } else { "Shows the runs with this tag" };
        let name = format!("Tag {tag} of {}", run.name);
        let chip = chip(&mut inner, palette, &text, on).on_hover_text(format!("#{tag}\n{help}"));
        if chip.accessible_name(name).clicked() {
            pressed = Some(tag.clone());
        }
    }
    pressed
}

/// A tag that a column has room for.
fn shortened(tag: &str) -> String {
    /// Characters that are left of one.
    const ROOM: usize = 12;
    match tag.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &tag[..end]),
        None => tag.to_owned(),
    }
}

/// The tags in `notes`, to take away and to add to; whether the notes were changed. `known` are those of all runs, `new` is
/// what is being typed.
pub(super) fn editor(ui: &mut Ui, notes: &mut String, known: &[String], new: &mut String) -> bool {
    let palette = theme::palette(ui);
    let (own, before) = (of(notes), notes.clone());
    widgets::toolbar(ui, |ui| {
        widgets::whole(ui, RichText::new("Tags").color(palette.weak));
        for tag in &own {
            let gone = chip(ui, palette, &format!("{tag} ✗"), false).on_hover_text("Takes this tag off the run");
            if gone.accessible_name(format!("Take off the tag {tag}")).clicked() {
                *notes = without(notes, tag);
            }
        }
        let edit = ui.add(TextEdit::singleline(new).id_salt("new tag").desired_width(110.0).hint_text("Add a tag"));
        let edit =
            edit.on_hover_text("A word that runs are put in order by; Enter adds it").accessible_name("Add a tag");
        if edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
            if let Some(tag) = typed(new) {
                *notes = with(notes, &tag);
                edit.request_focus();
            }
            new.clear();
        }
        // Those that begin as what is typed; all of them where nothing is.
        let begun = new.trim().trim_start_matches('#').to_lowercase();
        let fits = |tag: &&String| !own.contains(tag) && tag.starts_with(&begun);
        for tag in known.iter().filter(fits).take(OFFERED) {
            let offer = chip(ui, palette, &format!("+ {tag}"), false).on_hover_text("Gives the run this tag");
            if offer.accessible_name(format!("Give the tag {tag}")).clicked() {
                *notes = with(notes, tag);
                new.clear();
            }
        }
    });
    *notes != before
}

/// Known tags that are offered at most.
const OFFERED: usize = 6;

/// A tag as a chip to press; `on` where the list shows only its runs.
fn chip(ui: &mut Ui, palette: &Palette, text: &str, on: bool) -> Response {
    let color = if on { palette.on_accent } else { palette.now };
    let fill = if on { palette.accent } else { palette.now.gamma_multiply(0.14) };
    let stroke = if on { Color32::TRANSPARENT } else { palette.now.gamma_multiply(0.45) };
    let button = Button::new(RichText::new(text).size(11.0).color(color)).fill(fill).min_size(vec2(0.0, 17.0));
    let button = button.stroke(Stroke::new(1.0, stroke)).corner_radius(CornerRadius::same(8));
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = vec2(6.0, 0.0);
        ui.add(button)
    })
    .inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words_of_the_notes() {
        let notes = "as good as the table #Baseline, see #2\nmore #baseline #C# 5 # 3";
        assert_eq!(of(notes), ["baseline", "2"]);
        assert_eq!(text(notes), "as good as the table see");
        assert_eq!(text("#a #b\nsaid below"), "said below");
        assert_eq!([typed(" #two words "), typed("#"), typed("a,b")], [Some("two-words".into()), None, None]);
    }

    #[test]
    fn a_tag_comes_and_goes_without_a_trace() {
        for notes in ["", "blurred, but  it works", "two\nlines"] {
            let tagged = with(&with(notes, "night"), "old");
            assert_eq!(of(&tagged), ["night", "old"]);
            assert_eq!(with(&tagged, "old"), tagged);
            assert_eq!(without(&without(&tagged, "night"), "old"), notes);
        }
        assert_eq!(with("#night", "old"), "#night #old");
    }
}
