//! Taking a network elsewhere: to PyTorch or an ONNX runtime.

use crate::app::{
    background::{Task, Wake, finished},
    desktop::file_dialog::{Question, What},
    state::{Action, State},
    widgets::{theme, toasts::Level},
};
use crate::{format::bytes, text, train::predictor, weights::ExportFormat};
use eframe::egui::{self, Context, RichText, Ui};
use std::path::{Path, PathBuf};

/// The question where to, and in which form.
pub(crate) struct ExportDialog {
    /// A run's folder, whose best weights count, or a weight file.
    source: PathBuf,
    format: ExportFormat,
    /// The file that the user chose; `None` where the question was called off.
    choosing: Option<Task<Option<PathBuf>>>,
}

impl ExportDialog {
    pub(crate) fn new(source: PathBuf) -> Self {
        Self { source, format: ExportFormat::Safetensors, choosing: None }
    }

    /// Draws the dialog; false when it is done with.
    pub(crate) fn ui(&mut self, ctx: &Context, state: &mut State) -> bool {
        match finished(&mut self.choosing) {
            Some(Ok(Some(out))) => {
                let (source, format) = (self.source.clone(), self.format);
                state.ask(Action::WriteExport { source, format, out });
                return false;
            }
            Some(Err(error)) => state.notices.tell(Level::Warning, format!("The file dialog did not open: {error}")),
            _ => {}
        }
        let mut open = true;
        let modal = egui::Modal::new(egui::Id::unique("export")).frame(theme::dialog_frame(ctx)).show(ctx, |ui| {
            ui.set_width(460.0);
            let name = stem(&self.source);
            ui.label(RichText::new(format!("Export {name}")).strong().size(15.0));
            ui.add_space(4.0);
            choose(ui, &mut self.format);
            ui.add_space(6.0);
            if self.format == ExportFormat::Safetensors {
                snippet(ui, &name, state);
            }
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                let busy = self.choosing.is_some();
                if ui.add_enabled(!busy, egui::Button::new("Save as…")).clicked() {
                    self.choosing = Some(ask(&name, self.format, state));
                }
                open = !ui.button("Cancel").clicked();
            });
        });
        open && !modal.should_close()
    }
}

fn choose(ui: &mut Ui, format: &mut ExportFormat) {
    ui.radio_value(format, ExportFormat::Safetensors, "PyTorch (safetensors)")
        .on_hover_text("torchvision's names and shapes, for load_state_dict");
    let onnx = matches!(format, ExportFormat::Onnx { .. });
    if ui.radio(onnx, "ONNX").on_hover_text("A graph for onnxruntime, a browser and many others").clicked() {
        *format = ExportFormat::Onnx { preprocessing: true };
    }
    if let ExportFormat::Onnx { preprocessing } = format {
        ui.indent("preprocessing", |ui| {
            ui.checkbox(preprocessing, "Normalises images itself")
                .on_hover_text("On: takes bytes [N, height, width, channels]. Off: takes normalised floats [N, channels, height, width]");
        });
    }
}

/// How PyTorch takes the file.
fn snippet(ui: &mut Ui, name: &str, state: &mut State) {
    let code = format!(
        "from safetensors.torch import load_file\nmodel.load_state_dict(load_file(\"{name}.safetensors\"), strict=True)"
    );
    ui.label(RichText::new("In PyTorch, with torchvision's network of the same name:").color(theme::palette(ui).weak));
    ui.horizontal(|ui| {
        ui.add(egui::Label::new(RichText::new(&code).monospace().size(11.5)).selectable(true));
        if ui.small_button("Copy").clicked() {
            state.ask(Action::CopyText(code.clone()));
        }
    });
}

fn ask(name: &str, format: ExportFormat, state: &State) -> Task<Option<PathBuf>> {
    let kind = match format {
        ExportFormat::Safetensors => ("safetensors", format.extension()),
        ExportFormat::Onnx { .. } => ("ONNX", format.extension()),
    };
    let what = What::Save { name: format!("{name}.{}", format.extension()), kind };
    let dialog = state.file_dialog.clone();
    Task::spawn("dialog", state.wake.clone(), move || {
        dialog(Question { title: "Export the network".into(), what }).into_iter().next()
    })
}

/// What a file made of `source` is called, without an ending.
fn stem(source: &Path) -> String {
    let name = if source.is_dir() { source.file_name() } else { source.file_stem() };
    name.map_or_else(|| "network".to_owned(), |name| name.to_string_lossy().into())
}

/// Writes the file on a thread of its own; the result is what the user is told.
pub(crate) fn write(source: PathBuf, format: ExportFormat, out: PathBuf, wake: Wake) -> Task<Result<String, String>> {
    Task::spawn("export", wake, move || {
        let network = predictor::import(&source).map_err(|error| error.to_string())?;
        format.write(&network, &out).map_err(|error| error.to_string())?;
        let size = std::fs::metadata(&out).map_err(|error| format!("{}: {error}", text::path(&out)))?.len();
        Ok(format!("Wrote {} ({}): {}", text::path(&out), bytes(size), network.card.spec))
    })
}
