//! Published weights by name: `torchvision:resnet50`, `chenyaofo:cifar10_resnet20`.
//!
//! The eight hexadecimal digits in a file's name begin the SHA-256 of its contents.

use super::known::KnownData;
use crate::data::Preprocessing;

const TORCHVISION: &str = "https://download.pytorch.org/models/";
const CHENYAOFO: &str = "https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/";

/// Weights that somebody publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// What `--weights` takes.
    pub name: &'static str,
    pub file_name: &'static str,
    /// Beginning of the file's address; the file's name is the end.
    pub base_url: &'static str,
    pub trained_on: KnownData,
    /// Short side of the image before the central crop, where it is not 256.
    short_side: Option<usize>,
}

const fn torchvision(name: &'static str, file_name: &'static str) -> Published {
    Published { name, file_name, base_url: TORCHVISION, trained_on: KnownData::ImageNet, short_side: None }
}

/// torchvision's second weights want images of 232 pixels before the crop.
const fn torchvision_v2(name: &'static str, file_name: &'static str) -> Published {
    Published { short_side: Some(232), ..torchvision(name, file_name) }
}

const fn chenyaofo(trained_on: KnownData, name: &'static str, file_name: &'static str) -> Published {
    Published { name, file_name, base_url: CHENYAOFO, trained_on, short_side: None }
}

use KnownData::{Cifar10, Cifar100};

/// Everything that is known by name.
pub const PUBLISHED: [Published; 16] = [
    torchvision("torchvision:resnet18", "resnet18-f37072fd.pth"),
    torchvision("torchvision:resnet34", "resnet34-b627a593.pth"),
    torchvision("torchvision:resnet50", "resnet50-0676ba61.pth"),
    torchvision_v2("torchvision:resnet50-v2", "resnet50-11ad3fa6.pth"),
    torchvision("torchvision:resnet101", "resnet101-63fe2227.pth"),
    torchvision_v2("torchvision:resnet101-v2", "resnet101-cd907fc2.pth"),
    torchvision("torchvision:resnet152", "resnet152-394f9c45.pth"),
    torchvision_v2("torchvision:resnet152-v2", "resnet152-f82ba261.pth"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet20", "cifar10_resnet20-4118986f.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet32", "cifar10_resnet32-ef93fc4d.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet44", "cifar10_resnet44-2a3cabcb.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet56", "cifar10_resnet56-187c023a.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet20", "cifar100_resnet20-23dac2f1.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet32", "cifar100_resnet32-84213ce6.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet44", "cifar100_resnet44-ffe32858.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet56", "cifar100_resnet56-f2eff4c8.pt"),
];

/// No weights are published under a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no weights are called “{name}”; known: {}", PUBLISHED.map(|published| published.name).join(", "))]
pub struct UnknownName {
    pub name: String,
}

/// What `--weights` names: `None` for a path, an error for a known publisher without such weights.
///
/// # Errors
/// [`UnknownName`] lists the names there are.
pub fn published(spec: &str) -> Result<Option<&'static Published>, UnknownName> {
    let publisher = PUBLISHED.iter().filter_map(|published| published.name.split_once(':'));
    let Some((before, _)) = spec.split_once(':') else { return Ok(None) };
    if !publisher.into_iter().any(|(publisher, _)| publisher == before) {
        return Ok(None);
    }
    let found = PUBLISHED.iter().find(|published| published.name == spec);
    found.map(Some).ok_or_else(|| UnknownName { name: spec.to_owned() })
}

/// Published weights by the name of their file, under which people keep them.
pub(crate) fn by_file_name(file_name: &str) -> Option<&'static Published> {
    PUBLISHED.iter().find(|published| published.file_name == file_name)
}

impl Published {
    pub fn url(&self) -> String {
        format!("{}{}", self.base_url, self.file_name)
    }

    /// The first eight digits of the file's SHA-256.
    pub fn sha256_prefix(&self) -> &'static str {
        let stem = self.file_name.rsplit_once('.').map_or(self.file_name, |(stem, _)| stem);
        stem.rsplit_once('-').map_or("", |(_, digits)| digits)
    }

    /// Makes the preprocessing what these weights expect.
    pub(crate) fn adjust(&self, preprocessing: &mut Preprocessing) {
        if let (Some(short_side), Some(resize)) = (self.short_side, &mut preprocessing.resize) {
            resize.short_side = short_side;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_checksums_well_formed() {
        for (i, published) in PUBLISHED.iter().enumerate() {
            let digits = published.sha256_prefix();
            assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{}", published.name);
            assert!(PUBLISHED[..i].iter().all(|other| other.name != published.name && other.file_name != published.file_name));
        }
    }

    #[test]
    fn names_paths_and_typing_errors_are_told_apart() {
        let found = super::published("torchvision:resnet50").unwrap().unwrap();
        assert_eq!(found.url(), "https://download.pytorch.org/models/resnet50-0676ba61.pth");
        assert_eq!(found.sha256_prefix(), "0676ba61");
        assert_eq!(super::published("runs/a/best.safetensors"), Ok(None));
        assert_eq!(super::published("C:/weights.pth"), Ok(None));
        let error = super::published("torchvision:resnet19").unwrap_err().to_string();
        assert!(error.contains("resnet19") && error.contains("torchvision:resnet18"), "{error}");
    }
}
