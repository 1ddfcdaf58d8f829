//! What Rust writes for a shader to read: structs that both declare, under the same names.
//!
//! WGSL has a declaration of its own for each, which nothing generates, so that a shader can be read by itself; a test
//! holds the two against each other, by what naga makes of the shader.

use bytemuck::NoUninit;

/// A type that a shader finds in memory as Rust has it. `wgsl_struct!` declares structs of such.
pub(crate) trait WgslType: NoUninit {
    const KIND: Kind;
}

/// What WGSL calls a type, and a struct's members.
#[cfg_attr(not(test), expect(dead_code, reason = "tests hold it against the struct that naga finds in the shader"))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Plain(&'static str),
    Struct { name: &'static str, members: &'static [Member] },
}

#[cfg_attr(not(test), expect(dead_code, reason = "tests hold it against the struct that naga finds in the shader"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub name: &'static str,
    pub kind: Kind,
    /// In bytes.
    pub offset: usize,
}

macro_rules! plain {
    ($($type:ty => $name:literal,)*) => { $(impl WgslType for $type { const KIND: Kind = Kind::Plain($name); })* };
}

plain! {
    u32 => "u32",
    i32 => "i32",
    f32 => "f32",
    [u32; 2] => "array<u32, 2>",
    [u32; 4] => "array<u32, 4>",
}

/// Declares structs that a shader declares too.
macro_rules! wgsl_struct {
    ($($(#[$about:meta])* $vis:vis struct $name:ident {
        $($(#[$about_member:meta])* $member_vis:vis $member:ident: $type:ty),* $(,)?
    })*) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, ::bytemuck::NoUninit)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$about_member])* $member_vis $member: $type,)*
        }

        impl $crate::ops::wgsl_type::WgslType for $name {
            const KIND: $crate::ops::wgsl_type::Kind = $crate::ops::wgsl_type::Kind::Struct {
                name: stringify!($name),
                members: &[$($crate::ops::wgsl_type::Member {
                    name: stringify!($member),
                    kind: <$type as $crate::ops::wgsl_type::WgslType>::KIND,
                    offset: ::std::mem::offset_of!($name, $member),
                },)*],
            };
        }
    )* };
}
pub(crate) use wgsl_struct;
