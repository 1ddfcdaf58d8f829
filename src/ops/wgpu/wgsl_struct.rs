//! Structs that Rust fills and a shader reads: declared in both, under the same names.
//!
//! WGSL has a declaration of its own for each, which nothing generates, so that a shader can be read by itself; a test
//! holds the two against each other, by what naga makes of the shader.

use bytemuck::NoUninit;

/// A struct that a shader declares too, member for member. [`wgsl_struct!`](wgsl_struct) implements it.
pub trait WgslStruct: NoUninit {
    /// In Rust and in WGSL.
    const NAME: &'static str;
    const MEMBERS: &'static [Member];
}

/// A member of such a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: &'static str,
    /// As WGSL writes it.
    pub kind: &'static str,
    /// In bytes, like the size.
    pub offset: usize,
    pub size: usize,
}

/// What a member may be.
pub trait WgslType {
    const KIND: &'static str;
}

macro_rules! wgsl_types {
    ($($type:ty => $kind:literal,)*) => { $(impl WgslType for $type { const KIND: &'static str = $kind; })* };
}

wgsl_types! {
    u32 => "u32",
    i32 => "i32",
    f32 => "f32",
    [u32; 2] => "array<u32, 2>",
    [u32; 4] => "array<u32, 4>",
}

/// Declares a [`WgslStruct`].
macro_rules! wgsl_struct {
    ($(#[$about:meta])* $vis:vis struct $name:ident {
        $($(#[$member_about:meta])* $member_vis:vis $member:ident: $type:ty,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, ::bytemuck::NoUninit)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$member_about])* $member_vis $member: $type,)*
        }

        impl $crate::ops::wgpu::wgsl_struct::WgslStruct for $name {
            const NAME: &'static str = stringify!($name);
            const MEMBERS: &'static [$crate::ops::wgpu::wgsl_struct::Member] = &[
                $($crate::ops::wgpu::wgsl_struct::Member {
                    name: stringify!($member),
                    kind: <$type as $crate::ops::wgpu::wgsl_struct::WgslType>::KIND,
                    offset: ::std::mem::offset_of!($name, $member),
                    size: size_of::<$type>(),
                },)*
            ];
        }
    };
}
pub(crate) use wgsl_struct;
