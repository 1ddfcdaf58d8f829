//! What Mesa's drivers are told by the environment before they start.

use super::Arguments;
use std::env;

/// Where Debian, Fedora and Arch install what Vulkan reads about Mesa's software adapter.
#[cfg(target_arch = "x86_64")]
const MANIFESTS: [&str; 2] = ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.json"];

/// Tells Mesa's software adapter to compute in vectors of 512 bits where it and the processor gain from them, unless the
/// environment says how wide they shall be or the process will draw, at which Mesa 22.3 crashes with such; and where there
/// is no desktop, tells the layer that chooses among several cards not to ask the Wayland library, which complains on
/// standard error. To be called before there are threads.
pub fn prepare_drivers(arguments: &Arguments) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let set = |name: &str, value: &str| {
        if env::var_os(name).is_none() {
            // SAFETY: no other thread runs yet that could read the environment.
            unsafe { env::set_var(name, value) };
        }
    };
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        set("NODEVICE_SELECT", "1");
    }
    #[cfg(target_arch = "x86_64")]
    if !arguments.draw()
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && MANIFESTS.iter().find_map(|path| std::fs::read_to_string(path).ok()).is_some_and(|text| gains(&text))
    {
        set("LP_NATIVE_VECTOR_WIDTH", "512");
    }
}

/// Whether the Mesa of this manifest computes faster in vectors of 512 bits: 22.3 does by a third and more, 25.0 takes five
/// times as long, others were not tried. A manifest tells the version of the Vulkan headers that Mesa was built with.
#[cfg(target_arch = "x86_64")]
fn gains(manifest: &str) -> bool {
    let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap_or_default();
    manifest["ICD"]["api_version"].as_str().is_some_and(|version| version.ends_with(".230"))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    #[test]
    fn only_the_mesa_that_gains_is_asked_for_512_bits() {
        let of = |version: &str| gains(&format!("{{\"ICD\": {{\"api_version\": \"{version}\"}}}}"));
        assert!(of("1.1.230"));
        assert!(!of("1.4.305") && !gains("{}") && !gains("nonsense"));
    }
}
