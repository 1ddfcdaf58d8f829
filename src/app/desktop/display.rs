//! What the display allows: whether a window can be opened here at all, and whether files can be dropped on it.
//!
//! winit panics where X11's keyboard library is missing, and its other messages do not say what to do. What it is going
//! to need is looked for before it starts: a display that answers, and the libraries for it.

/// `Err` with one line that says what is missing and what to do.
pub(crate) fn can_open() -> Result<(), String> {
    #[cfg(all(unix, not(target_os = "macos")))]
    return unix::can_open(&unix::variable, &unix::has_library, &unix::Door::answers);
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    Ok(())
}

/// Whether files can be dropped on the window. winit hears of no drops on Wayland.
pub(crate) fn takes_drops() -> bool {
    #[cfg(all(unix, not(target_os = "macos")))]
    return !unix::is_wayland(&unix::variable);
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    true
}

/// eframe's reason for not opening the window, without the places in other people's source files that it names.
pub(crate) fn plain(error: &eframe::Error) -> String {
    const PLACE: &str = "os error at ";
    let text = error.to_string();
    match text.split_once(PLACE).and_then(|(_, rest)| rest.split_once(": ")) {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
mod unix {
    use nix::libc::{RTLD_NOW, dlopen};
    use std::{
        ffi::{CStr, OsString},
        fmt,
        net::{TcpStream, ToSocketAddrs},
        os::unix::net::UnixStream,
        path::PathBuf,
        time::Duration,
    };

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

    type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

    /// A variable of the environment; an empty one counts as none.
    pub(crate) fn variable(name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    /// As winit has it: Wayland wherever it is set, and no second try.
    pub(crate) fn is_wayland(env: Environment<'_>) -> bool {
        env("WAYLAND_DISPLAY").is_some() || env("WAYLAND_SOCKET").is_some()
    }

    pub(crate) fn can_open(
        env: Environment<'_>,
        has_library: &dyn Fn(&CStr) -> bool,
        answers: &dyn Fn(&Door) -> bool,
    ) -> Result<(), String> {
        let wayland = is_wayland(env);
        if wayland {
            wayland_answers(env, answers)?;
        } else {
            x11_answers(env, answers)?;
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

    fn wayland_answers(env: Environment<'_>, answers: &dyn Fn(&Door) -> bool) -> Result<(), String> {
        // A socket that was opened for us is open.
        let (None, Some(name)) = (env("WAYLAND_SOCKET"), env("WAYLAND_DISPLAY")) else { return Ok(()) };
        let name = PathBuf::from(name);
        let path = match env("XDG_RUNTIME_DIR") {
            _ if name.is_absolute() => name,
            Some(folder) => PathBuf::from(folder).join(name),
            None => return Err("WAYLAND_DISPLAY is set, but not XDG_RUNTIME_DIR, where its socket stands".to_owned()),
        };
        let door = Door::Socket(path);
        if answers(&door) {
            return Ok(());
        }
        let x11 = if env("DISPLAY").is_some() { "; for X11 instead, unset WAYLAND_DISPLAY" } else { "" };
        Err(format!("no Wayland compositor answers at {door} (WAYLAND_DISPLAY){x11}"))
    }

    fn x11_answers(env: Environment<'_>, answers: &dyn Fn(&Door) -> bool) -> Result<(), String> {
        let Some(display) = env("DISPLAY") else {
            return Err("there is no display (neither WAYLAND_DISPLAY nor DISPLAY is set)".to_owned());
        };
        let display = display.to_string_lossy().into_owned();
        let Some(doors) = doors(&display) else {
            return Err(format!("DISPLAY is “{display}”, which names no display; a usual one is :0"));
        };
        if doors.iter().any(answers) {
            return Ok(());
        }
        // The first is where it would be expected.
        let place = doors.first().map(|door| format!(" at {door}")).unwrap_or_default();
        Err(format!("no X server answers{place} (DISPLAY is {display})"))
    }

    /// Where a display server may be listening.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Door {
        Socket(PathBuf),
        /// A socket of Linux that has a name but no file.
        Abstract(String),
        Network(String, u16),
    }

    impl fmt::Display for Door {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Socket(path) => path.display().fmt(f),
                Self::Abstract(name) => write!(f, "@{name}"),
                Self::Network(host, port) => write!(f, "{host}:{port}"),
            }
        }
    }

    impl Door {
        /// Whether somebody listens. Waits for a far one at most three seconds.
        pub(crate) fn answers(&self) -> bool {
            const MAX_CONNECT_WAIT: Duration = Duration::from_secs(3);
            match self {
                Self::Socket(path) => UnixStream::connect(path).is_ok(),
                #[cfg(target_os = "linux")]
                Self::Abstract(name) => {
                    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
                    SocketAddr::from_abstract_name(name).is_ok_and(|at| UnixStream::connect_addr(&at).is_ok())
                }
                #[cfg(not(target_os = "linux"))]
                Self::Abstract(_) => false,
                Self::Network(host, port) => (host.as_str(), *port)
                    .to_socket_addrs()
                    .is_ok_and(|mut all| all.any(|at| TcpStream::connect_timeout(&at, MAX_CONNECT_WAIT).is_ok())),
            }
        }
    }

    /// Where the X server called `display` may listen: `:0`, `:0.1`, `host:0`, `unix:0`, or the path of a socket.
    pub(crate) fn doors(display: &str) -> Option<Vec<Door>> {
        let (host, number) = display.rsplit_once(':')?;
        let number: u16 = number.split('.').next()?.parse().ok()?;
        if host.starts_with('/') {
            return Some(vec![Door::Socket(display.into()), Door::Socket(host.into())]);
        }
        // X servers count their ports from here.
        let port = number.checked_add(6000)?;
        let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
        if !matches!(host, "" | "unix") {
            return Some(vec![Door::Network(host.trim_matches(['[', ']']).to_owned(), port)]);
        }
        let path = format!("/tmp/.X11-unix/X{number}");
        Some(vec![Door::Socket(path.clone().into()), Door::Abstract(path), Door::Network("localhost".to_owned(), port)])
    }

    /// Whether the dynamic loader finds the library, in the very way in which winit will look for it.
    pub(crate) fn has_library(name: &CStr) -> bool {
        // SAFETY: the name is a terminated string, and these libraries run no code of note when loaded. They are about
        // to be used, so they are never unloaded.
        unsafe { !dlopen(name.as_ptr(), RTLD_NOW).is_null() }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// An environment with these variables.
        fn with<'a>(values: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
            move |name| values.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        }

        const X11: &[(&str, &str)] = &[("DISPLAY", ":0")];
        const WAYLAND: &[(&str, &str)] =
            &[("WAYLAND_DISPLAY", "wayland-1"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("DISPLAY", ":0")];

        #[test]
        fn no_display_is_said_so() {
            assert!(can_open(&with(&[]), &|_| true, &|_| true).unwrap_err().contains("no display"));
        }

        #[test]
        fn a_display_that_does_not_answer_is_named_with_its_place() {
            let message = can_open(&with(X11), &|_| true, &|_| false).unwrap_err();
            assert_eq!(message, "no X server answers at /tmp/.X11-unix/X0 (DISPLAY is :0)");
            let message = can_open(&with(WAYLAND), &|_| true, &|_| false).unwrap_err();
            assert!(
                message.contains("/run/user/7/wayland-1") && message.contains("unset WAYLAND_DISPLAY"),
                "{message}"
            );
            let message = can_open(&with(&[("DISPLAY", "nonsense")]), &|_| true, &|_| true).unwrap_err();
            assert!(message.contains("nonsense"), "{message}");
        }

        #[test]
        fn what_winit_takes_for_wayland_is_wayland() {
            assert!(is_wayland(&with(WAYLAND)) && is_wayland(&with(&[("WAYLAND_SOCKET", "5")])));
            assert!(!is_wayland(&with(X11)));
        }

        #[test]
        fn a_missing_library_names_its_package() {
            let without_x11 = |name: &CStr| !name.to_string_lossy().contains("x11");
            let message = can_open(&with(X11), &without_x11, &|_| true).unwrap_err();
            assert!(message.contains("libxkbcommon-x11-0") && !message.contains('\n'), "{message}");
            // Wayland does not need it.
            assert_eq!(can_open(&with(WAYLAND), &without_x11, &|_| true), Ok(()));
        }

        #[test]
        fn a_display_has_its_doors() {
            let local = doors(":1.0").unwrap();
            assert_eq!(local[0], Door::Socket("/tmp/.X11-unix/X1".into()));
            assert_eq!(local, doors("unix:1").unwrap());
            assert_eq!(doors("desk.lan:10.0").unwrap(), [Door::Network("desk.lan".into(), 6010)]);
            assert_eq!(doors("tcp/[::1]:2").unwrap(), [Door::Network("::1".into(), 6002)]);
            assert_eq!(doors("/tmp/x/org.xquartz:0").unwrap()[0], Door::Socket("/tmp/x/org.xquartz:0".into()));
            assert_eq!(doors("wrong"), None);
            assert_eq!(doors(":99999"), None);
        }

        #[test]
        fn a_door_answers_where_somebody_listens() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("X7");
            assert!(!Door::Socket(path.clone()).answers());
            let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            assert!(Door::Socket(path).answers());
        }

        #[test]
        fn the_loader_is_asked() {
            assert!(has_library(c"libc.so.6"));
            assert!(!has_library(c"libno-such-library.so.9"));
        }
    }
}
