//! Every shader that a plan can name renders, and says on top what it is.

use crate::ops::wgpu::launch::{Kernel, MAX_WORKGROUPS, fold};

#[test]
fn every_shader_begins_with_what_it_computes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the sources are here") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a shader is text");
        let head: String = text.lines().take_while(|line| line.starts_with("//")).collect();
        for word in ["Bindings", "Grid"] {
            assert!(head.contains(word), "{}: its opening comment does not mention {word}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 20, "{seen} shaders");
}

#[test]
fn blocks_repeat_and_vanish() {
    let text = "a\n//@for i 0 N\nx{{2*i+1}} = {{K}};\n//@if K==5\n//@for j 1 N+1\ny{{i}}{{j}}\n//@end\n//@else\nnever\n//@end\n\
                //@if !K\nnever\n//@end\n//@end\nb";
    let kernel = Kernel::new("t", text).with("N", 2).with("K", 5);
    assert_eq!(kernel.source(), "a\nx1 = 5;\ny01\ny02\nx3 = 5;\ny11\ny12\nb\n");
}

#[test]
fn folded_grids_cover_and_fit() {
    for groups in [0, 1, 65_535, 65_536, 131_071, 10_000_000] {
        let [x, y, z] = fold(groups);
        assert!(x as usize <= MAX_WORKGROUPS && y as usize <= MAX_WORKGROUPS && z == 1);
        assert!(x as usize * y as usize >= groups);
    }
}

/// A write to one component of a vector may write the others back as they were, so invocations that share a vector may
/// only write all of it.
#[test]
fn no_shader_writes_a_part_of_a_shared_vector() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut writes = 0;
    for entry in std::fs::read_dir(folder).expect("the sources are here") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a shader is text");
        let shared = text.lines().filter_map(|line| line.strip_prefix("var<workgroup> ")?.split(": array<vec4").next());
        for name in shared {
            for line in text.lines().filter(|line| line.trim_start().starts_with(&format!("{name}["))) {
                let (place, _) = line.split_once(" = ").expect("a statement that begins with a place is a write");
                assert!(place.ends_with(']') && !place.contains("]["), "{}: {line}", path.display());
                writes += 1;
            }
        }
    }
    assert!(writes > 3, "{writes} writes");
}
