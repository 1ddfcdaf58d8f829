//! The same thing on one of the kinds of device: generic over the operations within `model`, of one type for everybody else.

/// Something on one of the devices.
#[derive(Clone)]
pub(crate) enum OnDevice<W, C, R, E> {
    Wgsl(W),
    Cpu(C),
    Reference(R),
    /// On another machine: no operations here, but the same methods.
    Elsewhere(E),
}

/// Runs a body with the thing, whichever device it is on.
macro_rules! on_device {
    ($what:expr, $name:ident => $body:expr) => {
        match $what {
            $crate::model::on_device::OnDevice::Wgsl($name) => $body,
            $crate::model::on_device::OnDevice::Cpu($name) => $body,
            $crate::model::on_device::OnDevice::Reference($name) => $body,
            $crate::model::on_device::OnDevice::Elsewhere($name) => $body,
        }
    };
}

/// Makes a thing of the same device of the thing.
macro_rules! map_on_device {
    ($what:expr, $name:ident => $body:expr) => {
        match $what {
            $crate::model::on_device::OnDevice::Wgsl($name) => $crate::model::on_device::OnDevice::Wgsl($body),
            $crate::model::on_device::OnDevice::Cpu($name) => $crate::model::on_device::OnDevice::Cpu($body),
            $crate::model::on_device::OnDevice::Reference($name) => {
                $crate::model::on_device::OnDevice::Reference($body)
            }
            $crate::model::on_device::OnDevice::Elsewhere($name) => {
                $crate::model::on_device::OnDevice::Elsewhere($body)
            }
        }
    };
}

pub(super) use {map_on_device, on_device};
