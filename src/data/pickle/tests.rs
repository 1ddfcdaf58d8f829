//! Pickles as Python writes them, and as an attacker would.

use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
    parse(bytes, Limits::default())
}

#[test]
fn python_2_dictionaries_of_lists_are_read() {
    // pickle.dumps({'labels': [1, 300, -5], 'name': 'x'}, 2) of Python 2.
    let pickle =
        read(b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(K\x01M\x2c\x01J\xfb\xff\xff\xffeU\x04nameq\x03U\x01xq\x04u.");
    let pickle = pickle.unwrap();
    let labels: Vec<_> = pickle.root().get("labels").unwrap().items().unwrap().map(|v| v.as_int()).collect();
    assert_eq!(labels, [Some(1), Some(300), Some(-5)]);
    assert_eq!(pickle.root().get("name").unwrap().as_bytes(), Some(&b"x"[..]));
}

#[test]
fn protocol_0_is_read() {
    // pickle.dumps({'a\n': [1, 2.5, None, True, u'\u00e9']}, 0) of Python 2.
    let pickle = read(b"(dp0\nS'a\\n'\np1\n(lp2\nI1\naF2.5\naNaI01\naV\xe9\np3\nas.").unwrap();
    let list = pickle.root().get("a\n").unwrap();
    assert_eq!(list.item(0).unwrap().as_int(), Some(1));
    assert!(matches!(list.item(1).unwrap().node(), Node::Float(2.5)));
    assert!(list.item(2).unwrap().is_none());
    assert_eq!(list.item(3).unwrap().as_bool(), Some(true));
    assert_eq!(list.item(4).unwrap().as_str(), Some("é"));
}

#[test]
fn protocol_4_is_read() {
    // pickle.dumps({'k': (1, b'xy', collections.OrderedDict(a=1))}, 4) of Python 3.
    let bytes = b"\x80\x04\x95\x36\0\0\0\0\0\0\0}\x94\x8c\x01k\x94K\x01C\x02xy\x94\x8c\x0bcollections\x94\
        \x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01a\x94K\x01s\x87\x94s.";
    let pickle = read(bytes).unwrap();
    let tuple = pickle.root().get("k").unwrap();
    assert_eq!(tuple.item(1).unwrap().as_bytes(), Some(&b"xy"[..]));
    let ordered = tuple.item(2).unwrap();
    assert_eq!(ordered.call_of("collections", "OrderedDict").unwrap().items().unwrap().len(), 0);
    assert_eq!(ordered.get("a").unwrap().as_int(), Some(1));
}

#[test]
fn protocol_5_is_read() {
    // pickle.dumps((bytearray(b"xy"), b"z", {1}), 5) of Python 3, the first made read-only.
    let bytes = b"\x80\x05\x96\x02\0\0\0\0\0\0\0xy\x94\x98C\x01z\x94\x8f\x94(K\x01\x90\x87\x94.";
    let pickle = read(bytes).unwrap();
    let root = pickle.root();
    assert_eq!(root.item(0).unwrap().as_bytes(), Some(&b"xy"[..]));
    assert_eq!(root.item(1).unwrap().as_bytes(), Some(&b"z"[..]));
    assert_eq!(root.item(2).unwrap().items().unwrap().len(), 1);
}

#[test]
fn calls_are_named_and_not_made() {
    // os.system('echo pwned'), with state, as an attacker would write it.
    let pickle = read(b"cos\nsystem\nq\x00X\x0a\0\0\0echo pwned\x85R}b.").unwrap();
    let arguments = pickle.root().call_of("os", "system").unwrap();
    assert_eq!(arguments.item(0).unwrap().as_str(), Some("echo pwned"));
    assert_eq!(pickle.root().state().unwrap().entries().unwrap().len(), 0);
}

#[test]
fn persistent_ids_and_large_integers_are_kept() {
    let pickle =
        read(b"\x80\x02X\x01\0\0\0kQ\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x8a\x01\xff\x87.").unwrap();
    let root = pickle.root();
    assert_eq!(root.item(0).unwrap().persistent_id().unwrap().as_str(), Some("k"));
    assert!(matches!(root.item(1).unwrap().node(), Node::BigInt(bytes) if bytes.len() == 10));
    assert_eq!(root.item(2).unwrap().as_int(), Some(-1));
}

#[test]
fn state_given_later_is_seen_through_an_earlier_reference() {
    // (x, x) where x was memoised before BUILD.
    let pickle = read(b"cm\nf\n)Rq\x00K\x07bh\x00\x86.").unwrap();
    assert_eq!(pickle.root().item(1).unwrap().state().unwrap().as_int(), Some(7));
}

#[test]
fn the_length_says_where_the_next_pickle_starts() {
    let bytes = b"\x80\x02K\x01.\x80\x02K\x02.rest";
    let first = read(bytes).unwrap();
    assert_eq!(first.length(), 5);
    let second = read(&bytes[first.length()..]).unwrap();
    assert_eq!(second.root().as_int(), Some(2));
}

#[test]
fn a_bomb_of_shared_lists_stays_small() {
    // Each list holds the one before ten times: 10^100 leaves when walked.
    let mut bytes = b"]q\x00".to_vec();
    for i in 1..=100u8 {
        bytes.extend(b"](");
        for _ in 0..10 {
            bytes.extend([b'h', i - 1]);
        }
        bytes.extend([b'e', b'q', i]);
    }
    bytes.push(b'.');
    let pickle = read(&bytes).unwrap();
    assert_eq!(pickle.nodes.len(), 101);
}

#[test]
fn a_million_nested_lists_neither_recurse_nor_overflow() {
    let mut bytes = vec![b']'; 1_000_000];
    bytes.extend(vec![b'a'; 999_999]);
    bytes.push(b'.');
    drop(read(&bytes).unwrap());
}

#[test]
fn lengths_beyond_the_end_take_no_memory() {
    assert_eq!(read(b"T\xff\xff\xff\xff").unwrap_err(), PickleError::Truncated(5));
    assert_eq!(read(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err(), PickleError::Truncated(9));
}

#[test]
fn what_is_outside_the_closed_set_is_refused() {
    assert_eq!(read(b"\x80\x06N.").unwrap_err(), PickleError::Protocol(6));
    assert_eq!(read(b"\x80\x05\x97.").unwrap_err(), PickleError::Opcode { opcode: 0x97, at: 2 });
    assert_eq!(read(b"(ios\nsystem\n.").unwrap_err(), PickleError::Opcode { opcode: b'i', at: 1 });
    assert_eq!(parse(b"NNN.", Limits { values: 2 }).unwrap_err(), PickleError::TooLarge(2));
    assert!(matches!(read(b"a."), Err(PickleError::Malformed { .. })));
    assert!(matches!(read(b"(K\x01(h\x00."), Err(PickleError::Malformed { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_sequence_of_instructions_panics(bytes in proptest::collection::vec(
        prop_oneof![
            proptest::sample::select(b"(.012NIJKMLFGUCTBXSVabcdeghjlpqrstuPQR]})\n'01\x80\x81\x85\x86\x87\x88\x8a\x8b\x8c\x8f\x90\x91\x92\x93\x94\x95\x96\x98".to_vec()),
            any::<u8>(),
            0u8..3,
        ],
        0..200,
    )) {
        let _ = read(&bytes);
    }
}
