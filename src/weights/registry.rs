//! Published weights by name: `torchvision:resnet50`, `chenyaofo:cifar10_resnet20`.
//!
//! The eight hexadecimal digits in a file's name begin the SHA-256 of its contents.

use super::{
    error::{UnknownName, WeightsError},
    known::KnownData,
};
use crate::data::{Checksum, Download, Preprocessing, Progress};
use std::path::{Path, PathBuf};

const TORCHVISION: &str = "https://download.pytorch.org/models/";
const CHENYAOFO: &str = "https://github.com/chenyaofo/pytorch-cifar-models/releases/download/resnet/";

/// Weights that somebody publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
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

/// torchvision's newer weights want images of 232 pixels before the crop.
const fn torchvision_v2(name: &'static str, file_name: &'static str) -> Published {
    Published { short_side: Some(232), ..torchvision(name, file_name) }
}

const fn chenyaofo(trained_on: KnownData, name: &'static str, file_name: &'static str) -> Published {
    Published { name, file_name, base_url: CHENYAOFO, trained_on, short_side: None }
}

use KnownData::{Cifar10, Cifar100};

/// Everything that is known by name.
pub(crate) const PUBLISHED: [Published; 27] = [
    torchvision("torchvision:resnet18", "resnet18-f37072fd.pth"),
    torchvision("torchvision:resnet34", "resnet34-b627a593.pth"),
    torchvision("torchvision:resnet50", "resnet50-0676ba61.pth"),
    torchvision_v2("torchvision:resnet50-v2", "resnet50-11ad3fa6.pth"),
    torchvision("torchvision:resnet101", "resnet101-63fe2227.pth"),
    torchvision_v2("torchvision:resnet101-v2", "resnet101-cd907fc2.pth"),
    torchvision("torchvision:resnet152", "resnet152-394f9c45.pth"),
    torchvision_v2("torchvision:resnet152-v2", "resnet152-f82ba261.pth"),
    torchvision("torchvision:resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth"),
    torchvision_v2("torchvision:resnext50_32x4d-v2", "resnext50_32x4d-1a0047aa.pth"),
    torchvision("torchvision:resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth"),
    torchvision_v2("torchvision:resnext101_32x8d-v2", "resnext101_32x8d-110c445d.pth"),
    torchvision_v2("torchvision:resnext101_64x4d", "resnext101_64x4d-173b62eb.pth"),
    torchvision("torchvision:wide_resnet50_2", "wide_resnet50_2-95faca4d.pth"),
    torchvision_v2("torchvision:wide_resnet50_2-v2", "wide_resnet50_2-9ba9bcbe.pth"),
    torchvision("torchvision:wide_resnet101_2", "wide_resnet101_2-32ee1156.pth"),
    torchvision_v2("torchvision:wide_resnet101_2-v2", "wide_resnet101_2-d733dc28.pth"),
    torchvision("torchvision:mobilenet_v2", "mobilenet_v2-b0353104.pth"),
    torchvision_v2("torchvision:mobilenet_v2-v2", "mobilenet_v2-7ebf99e0.pth"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet20", "cifar10_resnet20-4118986f.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet32", "cifar10_resnet32-ef93fc4d.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet44", "cifar10_resnet44-2a3cabcb.pt"),
    chenyaofo(Cifar10, "chenyaofo:cifar10_resnet56", "cifar10_resnet56-187c023a.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet20", "cifar100_resnet20-23dac2f1.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet32", "cifar100_resnet32-84213ce6.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet44", "cifar100_resnet44-ffe32858.pt"),
    chenyaofo(Cifar100, "chenyaofo:cifar100_resnet56", "cifar100_resnet56-f2eff4c8.pt"),
];

/// What `--weights` names: `None` for a path, an error for a known publisher without such weights.
///
/// # Errors
/// [`UnknownName`] lists the names there are.
pub(crate) fn published(spec: &str) -> Result<Option<&'static Published>, UnknownName> {
    let publisher = PUBLISHED.iter().filter_map(|published| published.name.split_once(':'));
    let Some((before, _)) = spec.split_once(':') else { return Ok(None) };
    if !publisher.into_iter().any(|(publisher, _)| publisher == before) {
        return Ok(None);
    }
    let found = PUBLISHED.iter().find(|published| published.name == spec);
    found.map(Some).ok_or_else(|| UnknownName {
        name: spec.to_owned(),
        known: PUBLISHED.map(|published| published.name).join(", "),
    })
}

/// The file that `--weights` means: a path, or a published name, whose file is then in `folder`.
///
/// # Errors
/// For an unknown name of a known publisher, and when a download fails.
pub(crate) fn locate(
    spec: &str,
    folder: &Path,
    base: Option<&str>,
    progress: &dyn Progress,
) -> Result<PathBuf, WeightsError> {
    match published(spec)? {
        Some(published) => published.fetch(folder, base, progress),
        None => Ok(PathBuf::from(spec)),
    }
}

/// Published weights by the name of their file, under which people keep them.
pub(crate) fn by_file_name(file_name: &str) -> Option<&'static Published> {
    PUBLISHED.iter().find(|published| published.file_name == file_name)
}

impl Published {
    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.base_url, self.file_name)
    }

    /// The first eight digits of the file's SHA-256.
    pub(crate) fn sha256_prefix(&self) -> &'static str {
        let stem = self.file_name.rsplit_once('.').map_or(self.file_name, |(stem, _)| stem);
        stem.rsplit_once('-').map_or("", |(_, digits)| digits)
    }

    /// The file in `folder`, downloaded with progress and verified where it is not there yet; from `base` instead of the
    /// published address where given.
    ///
    /// # Errors
    /// When it can't be downloaded or its checksum is wrong.
    pub(crate) fn fetch(
        &self,
        folder: &Path,
        base: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<PathBuf, WeightsError> {
        let url = match base {
            Some(base) => format!("{}/{}", base.trim_end_matches('/'), self.file_name),
            None => self.url(),
        };
        let checksum = Checksum::Sha256Prefix(self.sha256_prefix().to_owned());
        let download = Download { url, file_name: self.file_name.to_owned(), size: None, checksum };
        Ok(download.fetch(folder, progress)?)
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
    use crate::data::Silent;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    /// Answers every request with this body; returns the address.
    fn serve(body: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/models", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        address
    }

    #[test]
    fn downloads_are_verified_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let base = serve(b"weights");
        let published = |file_name| Published { file_name, ..PUBLISHED[0] };
        // SHA-256 of "weights" begins 9a129038….
        let good = published("good-9a129038.pth");
        let path = good.fetch(folder.path(), Some(&base), &Silent).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"weights");
        assert_eq!(good.fetch(folder.path(), Some("http://127.0.0.1:1"), &Silent).unwrap(), path, "from the cache");
        let wrong = published("wrong-00000000.pth").fetch(folder.path(), Some(&base), &Silent).unwrap_err();
        assert!(matches!(wrong, WeightsError::Download(_)), "{wrong}");
        assert!(!folder.path().join("wrong-00000000.pth").exists());
    }

    #[test]
    fn names_are_unique_and_checksums_well_formed() {
        for (i, published) in PUBLISHED.iter().enumerate() {
            let digits = published.sha256_prefix();
            assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{}", published.name);
            assert!(
                PUBLISHED[..i]
                    .iter()
                    .all(|other| other.name != published.name && other.file_name != published.file_name)
            );
        }
    }

    #[test]
    fn names_paths_and_typing_errors_are_told_apart() {
        let found = super::published("torchvision:resnet50").unwrap().unwrap();
        assert_eq!(found.url(), "https://download.pytorch.org/models/resnet50-0676ba61.pth");
        assert_eq!(found.sha256_prefix(), "0676ba61");
        assert_eq!(super::published("runs/a/best.safetensors"), Ok(None));
        assert_eq!(super::published("C:/weights.pth"), Ok(None));
        assert_eq!(locate("x.pth", Path::new("cache"), None, &Silent).unwrap(), Path::new("x.pth"));
        let error = super::published("torchvision:resnet19").unwrap_err().to_string();
        assert!(error.contains("resnet19") && error.contains("torchvision:resnet18"), "{error}");
    }
}
