//! Whether a window can be opened here at all.
//!
//! winit panics where X11's keyboard library is missing, and its other messages do not say what to install. Both are
//! looked for before it starts.

/// `Err` with one line that says what is missing and what to do.
pub fn can_open() -> Result<(), String> {
    #[cfg(all(unix, not(target_os = "macos")))]
    return unix::can_open(&|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()), &unix::has_library);
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    Ok(())
}

#[cfg(all(unix, not(target_os = "macos")))]
mod unix {
    use std::ffi::{CStr, c_char, c_int, c_void};

    /// Libraries that winit loads while it runs, and the packages of Debian and Fedora that have them.
    type Library = (&'static [&'static CStr], &'static str);

    const ALWAYS: &[Library] =
        &[(&[c"libxkbcommon.so.0", c"libxkbcommon.so"], "libxkbcommon0 (Debian, Ubuntu) or libxkbcommon (Fedora)")];
    const ON_X11: &[Library] = &[
        (
            &[c"libxkbcommon-x11.so.0", c"libxkbcommon-x11.so"],
            "libxkbcommon-x11-0 (Debian, Ubuntu) or libxkbcommon-x11 (Fedora)",
        ),
        (&[c"libX11.so.6", c"libX11.so"], "libx11-6 (Debian, Ubuntu) or libX11 (Fedora)"),
    ];

    pub fn can_open(is_set: &dyn Fn(&str) -> bool, has_library: &dyn Fn(&CStr) -> bool) -> Result<(), String> {
        let wayland = is_set("WAYLAND_DISPLAY") || is_set("WAYLAND_SOCKET");
        if !wayland && !is_set("DISPLAY") {
            return Err("there is no display (neither WAYLAND_DISPLAY nor DISPLAY is set)".to_owned());
        }
        let needed = ALWAYS.iter().chain(if wayland { &[] } else { ON_X11 });
        for (names, package) in needed {
            if !names.iter().any(|name| has_library(name)) {
                let name = names[0].to_string_lossy();
                return Err(format!("the window needs {name}, which is not installed: install {package}"));
            }
        }
        Ok(())
    }

    unsafe extern "C" {
        fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    }

    /// Whether the dynamic loader finds the library, in the very way in which winit will look for it.
    pub fn has_library(name: &CStr) -> bool {
        const RTLD_NOW: c_int = 2;
        // SAFETY: the name is a terminated string, and these libraries run no code of note when loaded. They are about
        // to be used, so they are never unloaded.
        unsafe { !dlopen(name.as_ptr(), RTLD_NOW).is_null() }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn no_display_is_said_so() {
            assert!(can_open(&|_| false, &|_| true).unwrap_err().contains("no display"));
        }

        #[test]
        fn a_missing_library_names_its_package() {
            let without_x11 = |name: &CStr| !name.to_string_lossy().contains("x11");
            let message = can_open(&|name| name == "DISPLAY", &without_x11).unwrap_err();
            assert!(message.contains("libxkbcommon-x11-0") && !message.contains('\n'), "{message}");
            // Wayland does not need it.
            assert_eq!(can_open(&|name| name == "WAYLAND_DISPLAY", &without_x11), Ok(()));
        }

        #[test]
        fn the_loader_is_asked() {
            assert!(has_library(c"libc.so.6"));
            assert!(!has_library(c"libno-such-library.so.9"));
        }
    }
}
