//! The program's own window with a stopwatch around each frame.

use super::driver::{Driver, Looker};
use crate::app::window::Window;
use eframe::{
    egui::{self, Context, RawInput, Ui},
    egui_wgpu::{self, CallbackResources, CallbackTrait, ScreenDescriptor},
    wgpu,
};
use std::{sync::Arc, thread, time::Duration};

/// The window and the driver on which its script runs.
pub(crate) struct Stage {
    driver: Arc<Driver>,
    window: Window,
    frame: usize,
}

impl Stage {
    /// Puts `window` on the stage; `device` is the one that draws it.
    pub(crate) fn new(driver: Arc<Driver>, window: Window, device: wgpu::Device) -> std::io::Result<Self> {
        driver.ctx.add_plugin(Looker(driver.clone()));
        let watch = driver.clone();
        // Drawing ends when somebody asks whether it has.
        thread::Builder::new().name("drawn?".into()).spawn(move || {
            while !watch.is_closed() {
                if watch.wait_for_drawing() {
                    let _ = device.poll(wgpu::PollType::Poll);
                    thread::sleep(Duration::from_micros(500));
                }
            }
        })?;
        Ok(Self { driver, window, frame: 0 })
    }

    /// Before a frame: the script's inputs join those of the user.
    pub(crate) fn begin(&mut self, raw: &mut RawInput) {
        self.frame = self.driver.begin(raw);
    }

    pub(crate) fn logic(&mut self, ctx: &Context) {
        for order in self.driver.orders() {
            order(&mut self.window);
        }
        self.window.update(ctx);
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui) {
        self.window.draw(ui);
        let stamp = Stamp { driver: self.driver.clone(), frame: self.frame };
        let rect = ui.ctx().content_rect();
        ui.painter().add(egui_wgpu::Callback::new_paint_callback(rect, stamp));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.driver.close();
    }
}

impl eframe::App for Stage {
    fn raw_input_hook(&mut self, _: &Context, raw: &mut RawInput) {
        self.begin(raw);
    }

    fn logic(&mut self, ctx: &Context, _: &mut eframe::Frame) {
        Stage::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        Stage::ui(self, ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        eframe::App::clear_color(&self.window, visuals)
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}

/// Draws nothing, and says when it could have: a shape that the painter prepares once everything is tessellated, and
/// whose commands are done when the frame is.
struct Stamp {
    driver: Arc<Driver>,
    frame: usize,
}

impl CallbackTrait for Stamp {
    fn prepare(
        &self,
        _: &wgpu::Device,
        _: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        _: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        self.driver.laid_out(self.frame);
        let (driver, frame) = (self.driver.clone(), self.frame);
        encoder.on_submitted_work_done(move || driver.drawn(frame));
        Vec::new()
    }

    fn paint(&self, _: egui::PaintCallbackInfo, _: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {}
}
