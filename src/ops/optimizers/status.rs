//! What updates leave behind for the next one and for whoever reads it: whether they were refused, and the loss scale.

/// What updates leave behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Updates refused since the first that was: their gradients' norm was not finite, or one before them was refused.
    pub refused: f32,
    /// The last global gradient norm, before clipping.
    pub norm: f32,
    /// What the loss is multiplied by where updates are [`Update::scaled`](super::Update::scaled). This and what follows
    /// only moves there.
    pub scale: f32,
    /// Updates since the scale last changed.
    pub since: f32,
    /// Updates that were skipped because their gradients overflowed.
    pub skipped: f32,
}

impl Status {
    /// Numbers that it is, in the order of its fields.
    pub(crate) const LEN: usize = 5;
    /// Updates without an overflow after which the scale is doubled.
    pub(crate) const UPDATES_TO_DOUBLE: f32 = 2000.0;
    /// The scale is not doubled beyond this.
    pub(crate) const MAX_SCALE: f32 = 16_777_216.0;
    /// Before the first update.
    pub const START: Self = Self { refused: 0.0, norm: 0.0, scale: 65536.0, since: 0.0, skipped: 0.0 };

    /// From its numbers as they are in memory.
    ///
    /// # Panics
    /// If there are fewer than [`Status::LEN`].
    pub(crate) fn of(values: &[f32]) -> Self {
        Self { refused: values[0], norm: values[1], scale: values[2], since: values[3], skipped: values[4] }
    }

    /// Its numbers as they are in memory.
    pub fn values(self) -> [f32; Self::LEN] {
        [self.refused, self.norm, self.scale, self.since, self.skipped]
    }

    /// After gradients of this norm, and whether their update is made. `gradient_norm_finish.wgsl` does the same on a GPU.
    ///
    /// The scale goes as that of `torch.amp.GradScaler` with its defaults: an overflow halves it and skips the update,
    /// 2,000 updates without one double it. An overflow that no scale above 1 explains is refused. (Micikevicius et al.,
    /// Mixed Precision Training, 2018.)
    pub(crate) fn after(self, norm: f32, scaled: bool) -> (Self, bool) {
        let sound = self.refused == 0.0;
        let go = sound && norm.is_finite();
        let skip = scaled && sound && !go && self.scale > 1.0;
        let mut next = Self { norm, ..self };
        next.refused = if go || skip { 0.0 } else { self.refused + 1.0 };
        if skip {
            (next.scale, next.since, next.skipped) = (self.scale * 0.5, 0.0, self.skipped + 1.0);
        } else if scaled && go {
            next.since = self.since + 1.0;
            if next.since >= Self::UPDATES_TO_DOUBLE {
                (next.scale, next.since) = ((self.scale * 2.0).min(Self::MAX_SCALE), 0.0);
            }
        }
        (next, go)
    }
}
