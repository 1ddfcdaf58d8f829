//! The window without a display: drawn by the same painter into a texture that nobody sees.
//!
//! What a desktop adds (its compositor, the way to the screen) is missing; layout, tessellation and drawing are not.

use super::{driver::Driver, first_window, name, stage::Stage};
use anyhow::Context as _;
use cubecl::future::block_on;
use eframe::{
    egui::{self, Context, FullOutput, RawInput, Rect, vec2},
    egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor},
    wgpu,
};
use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Size of the picture, that of the window on first start.
const SIZE: [u32; 2] = [1400, 900];

/// When the next frame is due, told by egui.
#[derive(Default)]
struct Alarm {
    due: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Alarm {
    fn set(&self, delay: Duration) {
        let Some(at) = Instant::now().checked_add(delay) else { return };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = Some(due.map_or(at, |due| due.min(at)));
        self.changed.notify_all();
    }

    /// Waits for the next frame; false after a while without one.
    fn wait(&self) -> bool {
        const MAX_FRAME_WAIT: Duration = Duration::from_millis(200);
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = due.map_or(MAX_FRAME_WAIT, |due| due.saturating_duration_since(Instant::now()).min(MAX_FRAME_WAIT));
        let mut due = match wait {
            Duration::ZERO => due,
            wait => self.changed.wait_timeout(due, wait).unwrap_or_else(PoisonError::into_inner).0,
        };
        due.take_if(|due| *due <= Instant::now()).is_some()
    }
}

/// Runs `scenario` on a thread beside a window that is drawn into a texture, until it ends. `reason` says why there is no
/// display.
pub(crate) fn run(
    reason: &str,
    runs: &Path,
    scenario: impl FnOnce(Arc<Driver>, String) + Send + 'static,
) -> anyhow::Result<()> {
    let ctx = Context::default();
    let alarm = Arc::new(Alarm::default());
    let ring = alarm.clone();
    ctx.set_request_repaint_callback(move |info| ring.set(info.delay));
    let mut canvas = Canvas::new()?;
    let driver = Driver::new(&ctx);
    let drawn_by = format!(
        "a picture of {}x{} instead of a window ({reason}), drawn by {}",
        SIZE[0],
        SIZE[1],
        name(&canvas.adapter)
    );
    let mut stage = Stage::new(driver.clone(), first_window(&driver, &canvas.adapter, runs), canvas.device.clone())?;
    let script = driver.clone();
    thread::Builder::new().name("script".into()).spawn(move || scenario(script, drawn_by))?;
    let began = Instant::now();
    alarm.set(Duration::ZERO);
    while !driver.is_closed() {
        if !alarm.wait() {
            continue;
        }
        let mut raw = RawInput {
            screen_rect: Some(Rect::from_min_size(egui::Pos2::ZERO, vec2(SIZE[0] as f32, SIZE[1] as f32))),
            time: Some(began.elapsed().as_secs_f64()),
            focused: true,
            max_texture_side: Some(canvas.device.limits().max_texture_dimension_2d as usize),
            ..RawInput::default()
        };
        stage.begin(&mut raw);
        let output = ctx.run_ui(raw, |ui| {
            stage.logic(&ui.ctx().clone());
            stage.ui(ui);
        });
        let [r, g, b, a] = eframe::App::clear_color(&stage, &ctx.global_style().visuals).map(f64::from);
        canvas.draw(&ctx, output, wgpu::Color { r, g, b, a });
    }
    Ok(())
}

/// A texture and what draws into it.
struct Canvas {
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: Renderer,
    view: wgpu::TextureView,
    adapter: wgpu::Adapter,
}

impl Canvas {
    fn new() -> anyhow::Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .context("there is neither a display nor a GPU adapter to draw the window with")?;
        let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("window"),
            size: wgpu::Extent3d { width: SIZE[0], height: SIZE[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let renderer =
            Renderer::new(&device, format, RendererOptions { dithering: false, ..RendererOptions::default() });
        Ok(Self { adapter, device, queue, renderer, view })
    }

    fn draw(&mut self, ctx: &Context, output: FullOutput, background: wgpu::Color) {
        let FullOutput { shapes, pixels_per_point, mut textures_delta, .. } = output;
        let primitives = ctx.tessellate(shapes, pixels_per_point);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (id, deltas) in textures_delta.set.drain() {
            for delta in deltas {
                self.renderer.update_texture(&self.device, &self.queue, id, &delta);
            }
        }
        let screen = ScreenDescriptor { size_in_pixels: SIZE, pixels_per_point };
        let mut commands = self.renderer.update_buffers(&self.device, &self.queue, &mut encoder, &primitives, &screen);
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("window"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &self.view,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(background), store: wgpu::StoreOp::Store },
                depth_slice: None,
            })],
            ..Default::default()
        });
        self.renderer.render(&mut pass.forget_lifetime(), &primitives, &screen);
        commands.push(encoder.finish());
        self.queue.submit(commands);
        textures_delta.free.drain().for_each(|id| self.renderer.free_texture(&id));
    }
}
