//! Batches and files that a self-test made at the provider, and their deletion.

use std::time::Duration;

use lmbatch::adapter::{BatchProvider, RemoteObject};
use lmbatch::{BatchId, Clock, ErrorKind, Label};

use super::report::Made;
use crate::terminal;

/// Longest wait for a batch to end after its cancel, before it is left behind.
const ENDING: Duration = Duration::from_secs(30);

/// Time between two polls of a batch that was cancelled.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Batch {
    label: Label,
    id: BatchId,
    has_ended: bool,
    end: Option<End>,
}

#[derive(Debug)]
struct Upload {
    label: Label,
    remote_object: RemoteObject,
    end: Option<End>,
}

/// State of an object at the end of the self-test.
#[derive(Debug)]
enum End {
    Deleted,
    Left(String),
}

/// Objects of a self-test at the provider.
#[derive(Debug, Default)]
pub(super) struct Left {
    batches: Vec<Batch>,
    uploads: Vec<Upload>,
    /// Labels of creates whose batch is unknown.
    doubts: Vec<Label>,
}

impl Left {
    pub(super) fn uploaded(&mut self, label: &Label, remote_objects: &[RemoteObject]) {
        for remote_object in remote_objects {
            if !self
                .uploads
                .iter()
                .any(|known| known.remote_object == *remote_object)
            {
                self.uploads.push(Upload {
                    label: label.clone(),
                    remote_object: remote_object.clone(),
                    end: None,
                });
            }
        }
    }

    pub(super) fn created(&mut self, label: &Label, id: &BatchId) {
        self.doubts.retain(|doubt| doubt != label);
        if !self.batches.iter().any(|known| known.id == *id) {
            self.batches.push(Batch {
                label: label.clone(),
                id: id.clone(),
                has_ended: false,
                end: None,
            });
        }
    }

    /// Notes a create whose batch is unknown.
    pub(super) fn doubted(&mut self, label: &Label) {
        self.doubts.push(label.clone());
    }

    pub(super) fn ended(&mut self, id: &BatchId) {
        let batch = self.batches.iter_mut().find(|batch| batch.id == *id);
        if let Some(batch) = batch {
            batch.has_ended = true;
        }
    }

    /// Returns a file that is deleted, for a second deletion.
    pub(super) fn deleted(&self) -> Option<RemoteObject> {
        let mut uploads = self.uploads.iter();
        let mut batches = self.batches.iter();
        let upload = uploads.find(|upload| matches!(upload.end, Some(End::Deleted)));
        let batch = batches.find(|batch| matches!(batch.end, Some(End::Deleted)));
        let batch = batch.map(|batch| RemoteObject::Batch(batch.id.clone()));
        upload.map(|upload| upload.remote_object.clone()).or(batch)
    }

    /// Notes that the objects stay at the provider on request.
    pub(super) fn keep(&mut self) {
        let left = || Some(End::Left("kept".to_owned()));
        self.batches.iter_mut().for_each(|batch| batch.end = left());
        self.uploads
            .iter_mut()
            .for_each(|upload| upload.end = left());
    }

    /// Cancels batches that have not ended, and deletes batches and files where the provider supports it. A failure is
    /// noted, and the next object follows.
    pub(super) async fn clean(&mut self, provider: &dyn BatchProvider, clock: &dyn Clock) {
        let start = clock.elapsed();
        for batch in self.batches.iter().filter(|batch| !batch.has_ended) {
            // The status tells below whether the batch is cancelled.
            let _ = provider.cancel(&batch.id).await;
        }
        for batch in &mut self.batches {
            while !batch.has_ended {
                let status = provider.status(&batch.id).await;
                batch.has_ended = status.is_ok_and(|snapshot| snapshot.status.is_terminal());
                if batch.has_ended || clock.elapsed().saturating_sub(start) > ENDING {
                    break;
                }
                clock.sleep(POLL).await;
            }
            batch.end = Some(match batch.has_ended {
                true => delete_batch(provider, &batch.id).await,
                false => {
                    End::Left("its cancellation was requested, and it has not ended".to_owned())
                }
            });
        }
        for upload in &mut self.uploads {
            upload.end = Some(delete(provider, &upload.remote_object).await);
        }
    }

    /// Returns every object with its state.
    pub(super) fn made(&self) -> Vec<Made> {
        let made = |object: String, label: &Label, end: Option<&End>| {
            let (end, is_left) = match end {
                Some(End::Deleted) => ("deleted".to_owned(), false),
                Some(End::Left(why)) => (format!("left: {why}"), true),
                None => ("left".to_owned(), true),
            };
            Made {
                object,
                label: label.to_string(),
                end,
                is_left,
            }
        };
        let batches = self.batches.iter().map(|batch| {
            let object = format!("batch {}", batch.id);
            made(object, &batch.label, batch.end.as_ref())
        });
        let uploads = self.uploads.iter().map(|upload| {
            let object = match &upload.remote_object {
                RemoteObject::File(file) => format!("file {file}"),
                RemoteObject::Batch(batch) => format!("batch {batch}"),
            };
            made(object, &upload.label, upload.end.as_ref())
        });
        let doubts = self.doubts.iter().map(|label| {
            let why = "the response to its create was lost".to_owned();
            made("unknown batch".to_owned(), label, Some(&End::Left(why)))
        });
        batches.chain(uploads).chain(doubts).collect()
    }

    /// Prints the objects that stay at the provider.
    pub(super) fn print(&self) {
        for one in self.made().into_iter().filter(|one| one.is_left) {
            terminal::message(&format!("{} ({}): {}", one.object, one.label, one.end));
        }
    }
}

async fn delete(provider: &dyn BatchProvider, remote_object: &RemoteObject) -> End {
    match provider.discard(remote_object).await {
        Ok(()) => End::Deleted,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            End::Left("the adapter cannot delete it".to_owned())
        }
        Err(error) => End::Left(error.to_string()),
    }
}

/// Deletes a batch with its results. Where the provider cannot delete the batch, the files of its results are deleted.
async fn delete_batch(provider: &dyn BatchProvider, id: &BatchId) -> End {
    let end = delete(provider, &RemoteObject::Batch(id.clone())).await;
    let End::Left(why) = end else {
        return End::Deleted;
    };
    let Ok(results) = provider.results(None, id).await else {
        return End::Left(why);
    };
    let mut kept = Vec::new();
    for part in &results.parts {
        let file = RemoteObject::File(part.name.clone());
        if let End::Left(why) = delete(provider, &file).await {
            kept.push(format!("{}: {why}", part.name));
        }
    }
    match (results.parts.len(), kept.is_empty()) {
        (0, _) => End::Left(why),
        (_, true) => End::Left(format!("{why}; its results are deleted")),
        (_, false) => End::Left(format!("{why}; {}", kept.join("; "))),
    }
}
