//! A gigabyte of images as attachments: what is held in memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::measure::{Used, in_a_folder, measure, serve, text};

const IMAGES: u32 = 256;

/// Bytes of each image.
const IMAGE: usize = 4 << 20;

/// Most memory at its peak, in MiB.
const MOST_MIB: f64 = 48.0;

/// First bytes of a PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR";

/// Sends the images, each with a request of its own, and prints what that costs.
///
/// # Errors
/// Memory beyond what is allowed.
pub(super) fn attachments() -> Result<(), String> {
    let used = in_a_folder(|folder| {
        let (_server, url) = serve(&["target/release/fake-provider"])?;
        write_images(folder).map_err(text)?;
        run(folder, &url)
    })?;
    println!(
        "{IMAGES} images of 4 MiB each: {:.0} ms of processor time, {:.0} ms of wall time, {:.0} MiB at the peak (must: at most {MOST_MIB} MiB)",
        used.cpu_ms,
        used.wall_ms(),
        used.peak_mib
    );
    match used.peak_mib > MOST_MIB {
        true => Err("attachments hold too much memory".to_owned()),
        false => Ok(()),
    }
}

fn run(folder: &Path, url: &str) -> Result<Used, String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (input, output, state) = (path("in.jsonl"), path("out.jsonl"), path("state"));
    let base = format!("{url}/v1");
    let mut line = vec!["target/release/lmbatch", "run", &input, "-o", &output];
    line.extend([
        "-m",
        "openai/m",
        "--base-url",
        &base,
        "--poll-interval",
        "20ms",
    ]);
    line.extend(["--quiet", "--state-dir", &state]);
    measure(&line)
}

/// Each image differs from the others in its first bytes.
fn write_images(folder: &Path) -> std::io::Result<()> {
    let rest: Vec<u8> = (0..IMAGE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut lines = BufWriter::new(File::create(folder.join("in.jsonl"))?);
    for number in 0..IMAGES {
        let image = [PNG, &number.to_be_bytes(), &rest].concat();
        fs::write(folder.join(format!("{number}.png")), image)?;
        writeln!(
            lines,
            r#"{{"id":{number},"contents":[{{"type":"image","path":"{number}.png"}},"What is it?"]}}"#
        )?;
    }
    lines.flush()
}
