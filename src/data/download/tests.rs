//! Downloads against a server of this process that behaves as badly as it is told to.

use super::*;
use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

/// What the server does with a connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Honours ranges.
    Good,
    /// Answers 200 with everything, whatever was asked.
    NoRanges,
    /// Honours ranges, and drops the connection after so many bytes.
    Drop(usize),
    /// As `Drop`, without ranges.
    DropNoRanges(usize),
    /// Sends other bytes of the right length.
    Wrong,
    /// Sends the beginning whatever range was asked for, and says so.
    OtherRange,
    Status(u16),
    /// Says nothing.
    Silent,
    /// Without a length, ended by closing the connection.
    NoLength,
}

struct Server {
    url: String,
    /// The `Range` header of every request so far.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

/// Serves `body`, with the n-th connection in the n-th manner and all later ones in the last.
fn serve(body: Vec<u8>, manners: &[Manner]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let (manners, seen) = (manners.to_vec(), ranges.clone());
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let manner = manners[i.min(manners.len() - 1)];
            let _ = answer(stream.unwrap(), &body, manner, &seen);
        }
    });
    Server { url, ranges }
}

fn answer(
    mut stream: TcpStream,
    body: &[u8],
    manner: Manner,
    seen: &Mutex<Vec<Option<String>>>,
) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        range = range.or(line.strip_prefix("range: ").map(str::to_owned));
    }
    seen.lock().unwrap().push(range.clone());
    let start: usize =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let wrong: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
    let (start, ranged, body, most) = match manner {
        Manner::Good => (start, true, body, usize::MAX),
        Manner::NoRanges => (0, false, body, usize::MAX),
        Manner::Drop(most) => (start, true, body, most),
        Manner::DropNoRanges(most) => (0, false, body, most),
        Manner::Wrong => (start, true, &wrong[..], usize::MAX),
        Manner::OtherRange => (0, true, body, usize::MAX),
        Manner::Status(status) => {
            return write!(stream, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        Manner::Silent => {
            std::thread::sleep(Duration::from_secs(3));
            return Ok(());
        }
        Manner::NoLength => {
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            return stream.write_all(body);
        }
    };
    if start > body.len() {
        return write!(stream, "HTTP/1.1 416 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let rest = &body[start..];
    if ranged && (start > 0 || matches!(manner, Manner::OtherRange)) {
        let (last, total) = (body.len() - 1, body.len());
        write!(stream, "HTTP/1.1 206 Partial\r\ncontent-range: bytes {start}-{last}/{total}\r\n")?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    write!(stream, "content-length: {}\r\nconnection: close\r\n\r\n", rest.len())?;
    stream.write_all(&rest[..rest.len().min(most)])
}

fn body() -> Vec<u8> {
    let mut rng = crate::data::rng::Rng::new(&[1]);
    (0..300_000).map(|_| rng.next_u64() as u8).collect()
}

fn md5_of(bytes: &[u8]) -> String {
    super::super::hex(&md5::Md5::digest(bytes))
}

fn download(server: &Server) -> Download {
    Download {
        url: server.url.clone(),
        file_name: "file.bin".to_owned(),
        size: Some(300_000),
        checksum: Checksum::Md5(md5_of(&body())),
    }
}

const HASTE: RetryPolicy =
    RetryPolicy { attempts: 3, pause: Duration::from_millis(1), silence: Duration::from_secs(10) };

fn fetch(download: &Download, folder: &Path) -> Result<PathBuf, DataError> {
    download.fetch_with(folder, &super::super::Silent, HASTE)
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_whole_and_is_not_asked_for_again() {
    let (server, folder) = (serve(body(), &[Manner::Good]), tempfile::tempdir().unwrap());
    let folder = folder.path().join("a/b");
    for _ in 0..2 {
        let path = fetch(&download(&server), &folder).unwrap();
        assert_eq!(fs::read(path).unwrap(), body());
    }
    assert_eq!(*server.ranges.lock().unwrap(), [None]);
    assert_eq!(names(&folder), ["file.bin"]);
}

#[test]
fn dropped_connections_are_resumed_where_they_broke() {
    let server = serve(body(), &[Manner::Drop(100_000)]);
    let folder = tempfile::tempdir().unwrap();
    let path = fetch(&download(&server), folder.path()).unwrap();
    assert_eq!(fs::read(path).unwrap(), body());
    let ranges = server.ranges.lock().unwrap();
    assert_eq!(*ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let server = serve(body(), &[Manner::DropNoRanges(100_000), Manner::NoRanges]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(fs::read(fetch(&download(&server), folder.path()).unwrap()).unwrap(), body());
}

#[test]
fn what_an_earlier_process_left_is_continued() {
    let (server, folder) = (serve(body(), &[Manner::Good]), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file.bin.part"), &body()[..123_456]).unwrap();
    let path = fetch(&download(&server), folder.path()).unwrap();
    assert_eq!(fs::read(path).unwrap(), body());
    assert_eq!(*server.ranges.lock().unwrap(), [Some("bytes=123456-".to_owned())]);
}

#[test]
fn a_wrong_leftover_costs_a_fresh_start_and_nothing_else() {
    for leftover in [vec![7; 1000], vec![7; 300_000], vec![7; 400_000]] {
        let (server, folder) = (serve(body(), &[Manner::Good]), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("file.bin.part"), leftover).unwrap();
        let path = fetch(&download(&server), folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), body());
    }
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let (server, folder) = (serve(body(), &[Manner::Wrong]), tempfile::tempdir().unwrap());
    let error = fetch(&download(&server), folder.path()).unwrap_err();
    assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("MD5"), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_file_of_another_size_is_refused_before_it_is_read() {
    let (server, folder) = (serve(body()[..1000].to_vec(), &[Manner::Good]), tempfile::tempdir().unwrap());
    let error = fetch(&download(&server), folder.path()).unwrap_err();
    assert!(error.to_string().contains("1000 bytes instead of 300000"), "{error}");
}

#[test]
fn another_part_than_the_one_asked_for_is_not_appended() {
    let server = serve(body(), &[Manner::Drop(100_000), Manner::OtherRange, Manner::Good]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(fs::read(fetch(&download(&server), folder.path()).unwrap()).unwrap(), body());
}

#[test]
fn a_missing_file_is_one_clear_line() {
    let (server, folder) = (serve(body(), &[Manner::Status(404)]), tempfile::tempdir().unwrap());
    let error = fetch(&download(&server), folder.path()).unwrap_err().to_string();
    assert!(error.contains("answers 404") && error.contains("file.bin"), "{error}");
    assert_eq!(server.ranges.lock().unwrap().len(), 1, "a 404 is not asked for again");
}

#[test]
fn a_busy_server_is_asked_again() {
    let server = serve(body(), &[Manner::Status(503), Manner::Status(429), Manner::Good]);
    let folder = tempfile::tempdir().unwrap();
    fetch(&download(&server), folder.path()).unwrap();
    let server = serve(body(), &[Manner::Status(503)]);
    let error = fetch(&download(&server), tempfile::tempdir().unwrap().path()).unwrap_err();
    assert!(matches!(error, DataError::Refused { status: 503, .. }), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let (server, folder) = (serve(body(), &[Manner::Silent]), tempfile::tempdir().unwrap());
    let policy = RetryPolicy { silence: Duration::from_millis(200), ..HASTE };
    let error = download(&server).fetch_with(folder.path(), &super::super::Silent, policy).unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[test]
fn offline_is_one_clear_line_that_says_what_to_do() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server { url: format!("http://127.0.0.1:{port}/x"), ranges: Arc::default() };
    let error = fetch(&download(&server), tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot reach http://127.0.0.1"), "{error}");
    assert!(error.contains("check the connection"), "{error}");
}

#[test]
fn a_body_without_a_length_is_read_to_its_end() {
    let (server, folder) = (serve(body(), &[Manner::NoLength]), tempfile::tempdir().unwrap());
    let download = Download { size: None, ..download(&server) };
    assert_eq!(fs::read(fetch(&download, folder.path()).unwrap()).unwrap(), body());
}

#[test]
fn sha_256_and_its_first_digits_are_checked() {
    let server = serve(body(), &[Manner::Good]);
    let whole = super::super::hex(&sha2::Sha256::digest(body()));
    for (checksum, right) in [
        (Checksum::Sha256(whole.clone()), true),
        (Checksum::Sha256Prefix(whole[..8].to_owned()), true),
        (Checksum::Sha256(whole[..8].to_owned()), false),
        (Checksum::Sha256Prefix("00000000".to_owned()), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let download = Download { checksum, ..download(&server) };
        assert_eq!(fetch(&download, folder.path()).is_ok(), right, "{:?}", download.checksum);
    }
}

#[test]
fn cancelling_keeps_what_was_received() {
    let (server, folder) = (serve(body(), &[Manner::Drop(100_000)]), tempfile::tempdir().unwrap());
    let progress = |report: &Report| match report {
        Report::Note { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let error = download(&server).fetch_with(folder.path(), &progress, HASTE).unwrap_err();
    assert!(matches!(error, DataError::Cancelled));
    assert_eq!(fs::metadata(folder.path().join("file.bin.part")).unwrap().len(), 100_000);
}

#[test]
fn a_second_download_of_the_same_file_waits_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let held = File::create(folder.path().join("file.bin.part")).unwrap();
    held.lock().unwrap();
    let server = serve(body(), &[Manner::Good]);
    assert!(matches!(fetch(&download(&server), folder.path()), Err(DataError::Busy(_))));
}
