use super::kernels::*; use super::*; use burn::backend::{tensor::{FloatTensor, IntTensor}}; use burn_cubecl::CubeBackend;
macro_rules! todo_impl { ($t:ty) => {
impl Kernels for $t {
 fn conv_bn_train(_: &FloatTensor<Self>, _: &FloatTensor<Self>, _: NormOf<Self>, _: Option<FloatTensor<Self>>, _: Unit) -> TrainedOf<Self> { todo!() }
 fn conv_bn_backward(_: FloatTensor<Self>, _: SavedOf<Self>, _: Option<FloatTensor<Self>>, _: Unit, _: Needs) -> (GradsOf<Self>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) { todo!() }
 fn conv_bn_eval(_: &FloatTensor<Self>, _: &FloatTensor<Self>, _: NormOf<Self>, _: Option<FloatTensor<Self>>, _: Unit) -> FloatTensor<Self> { todo!() }
 fn max_pool(_: &FloatTensor<Self>, _: Window) -> FloatTensor<Self> { todo!() }
 fn max_pool_backward(_: FloatTensor<Self>, _: &FloatTensor<Self>, _: &FloatTensor<Self>, _: Window) -> FloatTensor<Self> { todo!() }
 fn head(_: &FloatTensor<Self>, _: &FloatTensor<Self>, _: &FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) { todo!() }
 fn head_backward(_: FloatTensor<Self>, _: &FloatTensor<Self>, _: &FloatTensor<Self>, _: [usize; 2], _: bool) -> (FloatTensor<Self>, FloatTensor<Self>, Option<FloatTensor<Self>>) { todo!() }
 fn cross_entropy(_: &FloatTensor<Self>, _: IntTensor<Self>, _: IntTensor<Self>, _: FloatTensor<Self>, _: FloatTensor<Self>, _: f32) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) { todo!() }
 fn optimise(_: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: Vec<FloatTensor<Self>>, _: FloatTensor<Self>, _: Vec<Factors>, _: Update) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>, FloatTensor<Self>) { todo!() }
}}}
todo_impl!(CubeBackend);
