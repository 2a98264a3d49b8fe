//! Attachments: files are read when their request is encoded and released right after. They are
//! sent under the media type of their bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use lmbatch_core::{
    AttachmentView, BatchCodec, ContentView, GenerateView, RequestError, RequestView, SourceView,
};

use crate::plan::content;
use crate::plan::local_file::open;

/// Most bytes that are read for the attachments of one request, regardless of the provider's limit.
const LARGEST: u64 = 512 << 20;

/// Replaces every path in the request by the bytes of its file. With a `folder` the request comes
/// from outside of the program: only files in that folder are read, and every attachment is checked
/// against its kind. Returns the first disagreement between the bytes of an attachment and its
/// declared media type.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a file may not or
/// cannot be read, is too large, or is of another kind than the request declares.
pub(crate) fn load(
    request: &mut RequestView<'_>,
    folder: Option<&Path>,
    codec: &dyn BatchCodec,
) -> Result<Option<String>, RequestError> {
    let reads_files = match request {
        RequestView::Generate(generate) => reads_files(generate),
        _ => return Ok(None),
    };
    // The limit is for the sum of all files: a request holds them together.
    let mut left = 0;
    if reads_files {
        let class = codec.class(request)?;
        left = codec.limits(&class).max_request_bytes.min(LARGEST);
    }
    let RequestView::Generate(generate) = request else {
        return Ok(None);
    };
    let mut disagreement = None;
    for message in &mut generate.messages {
        for content in &mut message.contents {
            for attachment in content.attachments_mut() {
                let found = load_one(attachment, folder, &mut left)?;
                disagreement = disagreement.or(found);
            }
        }
    }
    Ok(disagreement)
}

fn reads_files(generate: &GenerateView<'_>) -> bool {
    let contents = generate.messages.iter().flat_map(|one| &one.contents);
    let mut attachments = contents.flat_map(ContentView::attachments);
    attachments.any(|attachment| matches!(attachment.source, SourceView::Path(_)))
}

fn load_one(
    attachment: &mut AttachmentView<'_>,
    folder: Option<&Path>,
    left: &mut u64,
) -> Result<Option<String>, RequestError> {
    let SourceView::Path(path) = &attachment.source else {
        return content::check(attachment, None, folder.is_some());
    };
    let path = path.to_path_buf();
    let bad = |why: String| {
        RequestError::invalid_input(format!("the attachment {} {why}", path.display()))
    };
    let file = open(&path, folder).map_err(|error| bad(error.to_string()))?;
    let bytes = read(file, *left).map_err(|error| bad(error.to_string()))?;
    *left -= bytes.len() as u64;
    attachment.source = SourceView::Bytes(Cow::Owned(bytes));
    content::check(attachment, Some(&path), folder.is_some())
}

/// Reads a file of at most `most` bytes. One more byte is requested, so that a file that grows, or
/// that does not report its size, does not fill memory.
fn read(file: File, most: u64) -> io::Result<Vec<u8>> {
    let large = |size: String| {
        io::Error::other(format!(
            "is {size} bytes; only {most} more fit into a request of this provider"
        ))
    };
    let unreadable = |error: io::Error| io::Error::other(format!("cannot be read: {error}"));
    let size = file.metadata().map_err(unreadable)?.len();
    if size > most {
        return Err(large(size.to_string()));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(large(format!("more than {most}")));
    }
    Ok(bytes)
}
