//! A server in this process, and strangers' calls.

use super::Host;
use crate::model::remote::request::{Batch, ClassWeights, Floats, Images, Lesson, Pixels, Request, RulesOf};
use crate::{
    data::{Normalisation, rng::Rng},
    device::{
        Choice, Compute, open,
        remote::{About, Address, Handler, Host as Place, Limits, Server, Token, Transport, encode},
    },
    model::{Block, Frozen, ModelSpec, ParameterGroups, Stem, tensors::Wanted},
    needs,
    ops::{
        Implementation, Storage,
        optimizers::{AdamW, Rule, Update},
        sample::SampleParams,
    },
};
use std::{net::TcpListener, thread};

const TOKEN: &str = "a-token-of-the-tests";

/// Starts a server of this device, which stays until the process ends; gives what it is reached by.
pub(in crate::model) fn served(compute: Compute, limits: Limits, memory: u64) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = Place::WebSocket(listener.local_addr().expect("an address").to_string());
    let token: Token = TOKEN.parse().expect("a token");
    let about = About { machine: "the test".into(), devices: vec![Host::offers(&compute, limits.kept)] };
    let server = Server::new(about, token.clone(), limits, move |_| Ok(Box::new(Host::new(compute.clone(), memory))));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(server.serve(Transport::WebSocket(listener))).expect("it serves")
    });
    Address::new(token, place)
}

pub(in crate::model) const LIMITS: Limits = Limits { clients: 64, kept: 1 << 30, time: None };

/// This device by way of a server.
pub(in crate::model) fn elsewhere(compute: Compute) -> Compute {
    let address = served(compute, LIMITS, 1 << 32);
    open(Choice::Remote(address.interned())).expect("it is served")
}

fn refusal(address: &Address) -> String {
    open(Choice::Remote(address.clone().interned())).expect_err("it is refused").to_string()
}

#[test]
fn who_is_refused_is_told_why_in_one_line() {
    let limits = Limits { clients: 1, ..LIMITS };
    let address = served(Compute::cpu(), limits, 1 << 20);
    let Place::WebSocket(place) = &address.host().clone() else { panic!("a WebSocket") };
    let other = Address::new("another-token".parse().expect("a token"), Place::WebSocket(place.clone()));
    assert!(refusal(&other).contains("the token is wrong"), "{}", refusal(&other));
    assert!(refusal(&address.with_device("gpu:7")).contains("has no device “gpu:7”, but cpu"));
    let nobody = Address::new(TOKEN.parse().expect("a token"), Place::WebSocket("127.0.0.1:1".into()));
    assert!(refusal(&nobody).contains("is `kindling serve` running there?"), "{}", refusal(&nobody));
    let first = open(Choice::Remote(address.clone().interned())).expect("there is a place");
    let second = refusal(&address.with_device("cpu"));
    assert!(second.contains("all of the server's places are taken (1)"), "{second}");
    drop(first);
}

fn spec() -> ModelSpec {
    ModelSpec::custom(Block::Basic, Stem::Cifar, vec![1], vec![4], 3, 5).expect("a model")
}

fn lesson() -> Lesson {
    let update = Update {
        rule: Rule::AdamW(AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 }),
        step: 1,
        lr: 0.01,
        weight_decay: 0.0,
        clip_norm: 0.0,
        ema_decay: 0.9,
        scaled: false,
    };
    Lesson {
        storage: Storage::F32,
        smoothing: 0.0,
        class_weights: ClassWeights::New(Floats(vec![1.0; 5])),
        frozen: Frozen::Nothing,
        groups: ParameterGroups { backbone_lr: 1.0, decay_bias_and_norm: true },
        update,
    }
}

fn batch(made: bool) -> Batch {
    let samples: Vec<_> = (0..3).map(|i| SampleParams { dx: 1, flip: 1, ..SampleParams::plain(i, i) }).collect();
    let pixels = if made {
        let rules = RulesOf { output: [8, 8], reflect: false, normalisation: Normalisation::identity(3) };
        let images = Images::Sent(serde_bytes::ByteBuf::from(vec![7; 3 * 8 * 8 * 3]));
        Pixels::Made { images, size: [8, 8], channels: 3, rules }
    } else {
        Pixels::Values(Floats(vec![0.5; 3 * 8 * 8 * 3]), [3, 8, 8, 3])
    };
    Batch { pixels, samples }
}

/// What a client calls for, from the first to the last.
fn session(made: bool) -> Vec<Request> {
    let spec = spec();
    let tensors = spec.tensors().iter().map(|info| Floats(vec![0.1; info.count()])).collect();
    let json = serde_json::to_string(&spec).expect("JSON");
    vec![
        Request::Load { network: 1, spec: json, ops: Implementation::Fast, tensors },
        Request::Look { network: 1, batch: batch(made), storage: Storage::F32, wanted: Wanted::Both },
        Request::Learn { learner: 2, network: 1 },
        Request::KeepLosses(2),
        Request::Step { learner: 2, batch: batch(made), lesson: lesson() },
        Request::Step { learner: 2, batch: batch(made), lesson: Lesson { frozen: Frozen::Backbone, ..lesson() } },
        Request::Metrics(2),
        Request::Gradients { learner: 2, batch: batch(made), lesson: lesson() },
        Request::Trace { learner: 2, batch: batch(made), storage: Storage::F32 },
        Request::States(2),
        Request::SetStatus(2, [0.0, 0.0, 1.0, 0.0, 0.0]),
        Request::Restore { learner: 2, states: Vec::new(), frozen: Frozen::Stages(1) },
        Request::TakeLosses(2),
        Request::Network { learner: 2, network: 3, averaged: true },
        Request::Export { network: 3 },
        Request::Forget(1),
        Request::Status(2),
    ]
}

fn devices() -> Vec<(Compute, bool)> {
    let gpu = needs::found("gpu", open(Choice::BestGpu)).map(|gpu| (gpu, true));
    [Some((Compute::cpu(), false)), gpu].into_iter().flatten().collect()
}

fn nothing_kept(_: crate::device::remote::Content) -> Option<std::sync::Arc<Vec<u8>>> {
    None
}

#[test]
fn a_whole_session_is_obeyed() {
    for (compute, made) in devices() {
        let mut host = Host::new(compute, 1 << 30);
        for request in session(made) {
            let what = format!("{request:?}");
            host.call(&encode(&request), &nothing_kept).unwrap_or_else(|error| panic!("{error}: {what:.200}"));
        }
    }
}

/// Bytes that came to harm, or that somebody made up: each is refused or done, and the process lives.
#[test]
fn no_bytes_of_a_stranger_do_harm() {
    for (compute, made) in devices() {
        let calls: Vec<Vec<u8>> = session(made).iter().map(encode).collect();
        let mut rng = Rng::new(&[7]);
        let mut refused = 0;
        for round in 0..400 {
            let mut host = Host::new(compute.clone(), 1 << 26);
            for call in &calls {
                let mut call = call.clone();
                for _ in 0..rng.below(3) {
                    let at = rng.below(call.len());
                    match rng.below(4) {
                        0 => call[at] = rng.below(256) as u8,
                        1 => call[at] ^= 1 << rng.below(8),
                        2 => call.truncate(at),
                        // Numbers as large as there are.
                        _ => call.splice(at..at + 1, [0xce, 0xff, 0xff, 0xff, 0xff]).for_each(drop),
                    }
                    if call.is_empty() {
                        break;
                    }
                }
                // Where a learner is told nonsense that is in bounds, what it learns is nonsense, and that is its own.
                refused += usize::from(host.call(&call, &nothing_kept).is_err());
            }
            assert!(round < 399 || refused > 400, "{refused} calls were refused");
        }
    }
}

#[test]
fn batches_out_of_bounds_are_refused_before_a_kernel_sees_them() {
    let graph = spec().graph();
    let judge = |batch: &Batch| {
        super::check::batch(batch, &spec(), &graph, |images| match images {
            Images::Sent(bytes) => Ok(bytes.len()),
            Images::Kept(_) => Err("none is kept".into()),
        })
    };
    assert_eq!(judge(&batch(true)), Ok([8, 8]));
    assert_eq!(judge(&batch(false)), Ok([8, 8]));
    type Harm = fn(&mut SampleParams);
    let harms: [Harm; 11] = [
        |sample| sample.index = 3,
        |sample| sample.label = 5,
        |sample| sample.partner_label = u32::MAX,
        |sample| sample.partner = 3,
        |sample| sample.flip = 2,
        |sample| sample.cut = [0, 0, 9, 1],
        |sample| sample.erased = [3, 0, 2, 1],
        |sample| sample.mix_box = [0, 0, 0, u32::MAX],
        |sample| sample.gain = f32::NAN,
        |sample| sample.dy = i32::MIN,
        |sample| (sample.dx, sample.resized) = (4, [5, 1]),
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        let mut batch = batch(true);
        harm(&mut batch.samples[1]);
        assert_eq!(judge(&batch), Err("image 1 of the batch is out of bounds".into()), "harm {number}");
    }
    let shapes = [[3, 8, 8, 1], [2, 8, 8, 3], [3, 8, usize::MAX, 3], [3, 0, 8, 3], [3, usize::MAX, 8, usize::MAX]];
    for shape in shapes {
        let Pixels::Values(values, _) = batch(false).pixels else { panic!("values") };
        assert!(judge(&Batch { pixels: Pixels::Values(values, shape), ..batch(false) }).is_err(), "{shape:?}");
    }
}

#[test]
fn a_client_takes_no_more_memory_than_it_is_given() {
    let mut host = Host::new(Compute::cpu(), 20_000);
    let mut errors = session(false).into_iter().filter_map(|request| host.call(&encode(&request), &nothing_kept).err());
    let first = errors.next().expect("it is too much");
    assert!(first.contains("and the server gives a client 20 kB"), "{first}");
}
