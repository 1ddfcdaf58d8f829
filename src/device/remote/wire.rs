//! How bytes become burn's tensors, and come back.

use super::message::OPERATION;
use burn::backend::{DType, Flex, FlexDevice, Shape, TensorData, ops::IntTensorOps};
use burn_remote::{
    RemoteBackend, RemoteDevice, RouterClient,
    ir::{BackendIr, CustomOpIr, HandleContainer, OperationIr, TensorIr},
};
use std::{future::Future, pin::Pin};

/// The bytes of an answer, once they are there.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// Where a server keeps tensors.
pub(super) type Handles = HandleContainer<<Flex as BackendIr>::Handle>;

fn tensor(bytes: Vec<u8>) -> TensorData {
    let length = bytes.len();
    TensorData::from_bytes_vec(bytes, [length], DType::U8)
}

/// Sends a message on its way; gives its answer where it has one.
pub(super) fn send(device: &RemoteDevice, message: Vec<u8>, answered: bool) -> Option<Answering> {
    let input = <RemoteBackend as IntTensorOps<RemoteBackend>>::int_from_data(tensor(message), device);
    let client = input.client.clone();
    // How long it is, only the server knows; what is read is as long as it is there.
    let output = answered.then(|| TensorIr::uninit(client.create_empty_handle(), Shape::from([1]), DType::U8));
    let operation = CustomOpIr::new(OPERATION, &[input.into_ir()], output.as_slice());
    let output = client.register(OperationIr::Custom(operation)).pop();
    client.flush();
    output.map(|output| -> Answering {
        let data = client.read_tensor_async(output.into_ir());
        Box::pin(async move {
            let data = data.await.map_err(|error| error.to_string())?;
            Ok(data.into_bytes().to_vec())
        })
    })
}

/// What came, on the server; nothing where it is no message of ours.
pub(super) fn received(handles: &mut Handles, operation: &CustomOpIr) -> Option<Vec<u8>> {
    let [input] = operation.inputs.as_slice() else { return None };
    if input.dtype != DType::U8 {
        return None;
    }
    Some(handles.get_int_tensor::<Flex>(input).into_data().into_bytes().to_vec())
}

/// Puts an answer where the client will read it, if it wants one.
pub(super) fn answer(handles: &mut Handles, operation: &CustomOpIr, answer: Vec<u8>) {
    if let [output] = operation.outputs.as_slice() {
        let tensor = <Flex as IntTensorOps<Flex>>::int_from_data(tensor(answer), &FlexDevice);
        handles.register_int_tensor::<Flex>(&output.id, tensor);
    }
}
