//! `kindling devices`: what there is to compute on.

use super::{Outcome, output};
use crate::device::{self, Compute};
use crate::format;
use crate::ops::Storage;
use crate::ops::wgpu::trial;
use clap::Args;
use serde_json::{Value, json};

/// List the devices of this machine
#[derive(Args, Clone, Debug)]
pub(crate) struct Devices {
    /// Print one JSON object a device
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let adapters = device::adapters();
        let cpu = Compute::cpu();
        let (bf16, cpu) = (Storage::Bf16.is_on(&cpu), cpu.description);
        let auto = device::automatic(&adapters).map(|adapter| adapter.index);
        if self.json {
            output::json(
                &json!({ "device": "cpu", "name": cpu, "kind": "cpu", "bf16": bf16, "auto": auto.is_none() }),
            )?;
            for adapter in &adapters {
                let mut value = serde_json::to_value(adapter)?;
                value["device"] = Value::from(format!("gpu:{}", adapter.index));
                value["wrong_kernels"] = Value::from(trial::wrong(adapter));
                value["auto"] = Value::from(auto == Some(adapter.index));
                output::json(&value)?;
            }
            return Ok(Outcome::Done);
        }
        let yes = |has| if has { "yes" } else { "no" };
        let mark = |is_auto| if is_auto { "  (auto)" } else { "" };
        output::line(format_args!("cpu    {cpu}{}", mark(auto.is_none())))?;
        output::line(format_args!("       16-bit floats of the kind bf16 {}", yes(bf16)))?;
        for adapter in &adapters {
            output::line(format_args!("gpu:{}  {adapter}{}", adapter.index, mark(auto == Some(adapter.index))))?;
            output::line(format_args!(
                "       largest binding {}, workgroup memory {}, 16-bit floats of the kind f16 {}",
                format::bytes(adapter.max_binding),
                format::bytes(adapter.workgroup_memory.into()),
                yes(adapter.f16)
            ))?;
            let wrong = trial::wrong(adapter);
            if !wrong.is_empty() {
                output::line(format_args!(
                    "       computed wrong results, so that plainer and slower kernels stand in, in: {}",
                    wrong.join("; ")
                ))?;
            }
            if let Some(problem) = &adapter.problem {
                output::line(format_args!("       can't be used: {problem}"))?;
            }
        }
        if adapters.is_empty() {
            output::note("no GPU adapter was found; Kindling trains on the CPU");
        }
        Ok(Outcome::Done)
    }
}
