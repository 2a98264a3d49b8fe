//! Clauses that every spool keeps, as tests: the one in a folder, the temporary one, the one in memory, and third-party
//! spools.
//!
//! ```no_run
//! use lmbatch_testing::spool::{Subject, clauses};
//! # fn hold(make: impl Fn() -> Subject) {
//! for clause in clauses() {
//!     if let Err(why) = clause.hold(&make()) {
//!         panic!("{clause}: {why}");
//!     }
//! }
//! # }
//! ```

use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use lmbatch_core::{Spool, SpoolFile};

type Reopen = Box<dyn Fn() -> Arc<dyn Spool>>;

/// An empty spool under test, and a way to open it as another process would.
pub struct Subject {
    spool: Arc<dyn Spool>,
    reopen: Option<Reopen>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("spool", &self.spool)
            .field("is_durable", &self.reopen.is_some())
            .finish()
    }
}

impl Subject {
    /// Takes an empty spool that ends with its process.
    pub fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            reopen: None,
        }
    }

    /// Sets a function that opens the spool again, as another process does. Clauses about durability run only if it is
    /// set.
    pub fn with_reopen(mut self, reopen: impl Fn() -> Arc<dyn Spool> + 'static) -> Self {
        self.reopen = Some(Box::new(reopen));
        self
    }
}

/// A promise that every spool keeps.
#[derive(Clone, Copy)]
pub struct Clause {
    /// Name of the clause: a sentence in snake case.
    pub name: &'static str,
    run: fn(&Subject) -> io::Result<()>,
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.replace('_', " "))
    }
}

impl Clause {
    /// Runs the clause against an empty spool.
    ///
    /// # Errors
    /// The message of the assertion or of the call that failed.
    pub fn hold(&self, subject: &Subject) -> Result<(), String> {
        match std::panic::catch_unwind(AssertUnwindSafe(|| (self.run)(subject))) {
            Ok(kept) => kept.map_err(|error| error.to_string()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Err(text.unwrap_or_else(|| "the clause panicked".to_owned()))
            }
        }
    }
}

macro_rules! table {
    ($($name:ident),+ $(,)?) => {
        const CLAUSES: &[Clause] = &[$(Clause { name: stringify!($name), run: $name }),+];
    };
}

table! {
    a_file_is_read_as_it_was_written,
    a_read_beyond_the_end_returns_what_is_there,
    a_part_of_a_file_can_be_overwritten,
    a_write_beyond_the_end_fills_the_gap_with_zeros,
    a_file_can_be_read_while_it_is_written,
    a_new_file_replaces_one_with_the_same_name,
    names_that_begin_alike_are_different_files,
    an_unknown_file_is_not_found,
    a_removed_file_is_not_found,
    removing_an_unknown_file_is_no_error,
    scratch_files_share_no_bytes,
    any_number_of_files_is_in_use_at_once,
    threads_write_parts_of_one_file_at_once,
    synced_files_survive_the_process,
}

/// Returns all clauses.
pub fn clauses() -> &'static [Clause] {
    CLAUSES
}

/// Writes a file and syncs it.
fn write(spool: &dyn Spool, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut writer = spool.create(name)?;
    writer.write_all(bytes)?;
    writer.sync()
}

/// Reads a whole file in pieces of an odd size.
fn content(file: &dyn SpoolFile) -> io::Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_099]);
    loop {
        let read = file.read_at(&mut piece, bytes.len() as u64)?;
        if read == 0 {
            assert_eq!(file.size()?, bytes.len() as u64, "size of the file");
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn read(spool: &dyn Spool, name: &str) -> io::Result<Vec<u8>> {
    content(&*spool.open(name)?)
}

/// Returns bytes that differ at neighbouring places, and between two seeds.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|at| ((at * 31 + at / 251 + seed * 7) % 256) as u8)
        .collect()
}

fn a_file_is_read_as_it_was_written(subject: &Subject) -> io::Result<()> {
    for length in [0, 1, 4_098, 65_536, 65_537, 700_001] {
        let bytes = pattern(length, length);
        let mut writer = subject.spool.create("bytes")?;
        for piece in bytes.chunks(10_007) {
            writer.write_all(piece)?;
        }
        writer.sync()?;
        drop(writer);
        let found = read(&*subject.spool, "bytes")?;
        assert!(found == bytes, "a file of {length} bytes differs");
    }
    Ok(())
}

fn a_read_beyond_the_end_returns_what_is_there(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "short", b"abcdef")?;
    let (file, mut buffer) = (subject.spool.open("short")?, [b'.'; 4]);
    for (offset, expected) in [(0, "abcd"), (4, "ef"), (6, ""), (u64::from(u32::MAX), "")] {
        let read = file.read_at(&mut buffer, offset)?;
        assert_eq!(&buffer[..read], expected.as_bytes(), "at {offset}");
    }
    Ok(())
}

fn a_part_of_a_file_can_be_overwritten(subject: &Subject) -> io::Result<()> {
    let mut bytes = pattern(200_000, 1);
    write(&*subject.spool, "parts", &bytes)?;
    let file = subject.spool.open("parts")?;
    for (offset, length) in [(0, 3), (65_530, 20), (199_990, 10)] {
        let part = vec![0xee; length];
        file.write_at(&part, offset as u64)?;
        bytes[offset..offset + length].copy_from_slice(&part);
    }
    drop(file);
    let found = read(&*subject.spool, "parts")?;
    assert!(found == bytes, "the file differs");
    Ok(())
}

fn a_write_beyond_the_end_fills_the_gap_with_zeros(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "gap", b"ab")?;
    subject.spool.open("gap")?.write_at(b"z", 5)?;
    assert_eq!(read(&*subject.spool, "gap")?, b"ab\0\0\0z");
    Ok(())
}

fn a_file_can_be_read_while_it_is_written(subject: &Subject) -> io::Result<()> {
    let mut writer = subject.spool.create("growing")?;
    writer.write_all(b"one ")?;
    let file = subject.spool.open("growing")?;
    assert_eq!(content(&*file)?, b"one ");
    writer.write_all(b"two")?;
    assert_eq!(content(&*file)?, b"one two");
    Ok(())
}

fn a_new_file_replaces_one_with_the_same_name(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "again", &pattern(100_000, 1))?;
    write(&*subject.spool, "again", b"short")?;
    assert_eq!(read(&*subject.spool, "again")?, b"short");
    Ok(())
}

fn names_that_begin_alike_are_different_files(subject: &Subject) -> io::Result<()> {
    let names = ["n.body-1", "n.body-10", "n.body", "n"];
    for name in names {
        write(&*subject.spool, name, name.as_bytes())?;
    }
    for name in names {
        assert_eq!(read(&*subject.spool, name)?, name.as_bytes(), "{name}");
    }
    Ok(())
}

fn an_unknown_file_is_not_found(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "known", b"x")?;
    let error = subject.spool.open("unknown").err();
    let kind = error.map(|error| error.kind());
    assert_eq!(kind, Some(io::ErrorKind::NotFound));
    Ok(())
}

fn a_removed_file_is_not_found(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "kept", b"kept")?;
    write(&*subject.spool, "gone", b"gone")?;
    subject.spool.remove("gone")?;
    let error = subject.spool.open("gone").err();
    let kind = error.map(|error| error.kind());
    assert_eq!(kind, Some(io::ErrorKind::NotFound));
    assert_eq!(read(&*subject.spool, "kept")?, b"kept");
    Ok(())
}

fn removing_an_unknown_file_is_no_error(subject: &Subject) -> io::Result<()> {
    subject.spool.remove("unknown")
}

fn scratch_files_share_no_bytes(subject: &Subject) -> io::Result<()> {
    write(&*subject.spool, "named", b"named")?;
    let files = [subject.spool.scratch()?, subject.spool.scratch()?];
    for (seed, file) in files.iter().enumerate() {
        assert_eq!(file.size()?, 0, "a scratch file begins empty");
        file.write_at(&pattern(300_000, seed), 0)?;
    }
    for (seed, file) in files.iter().enumerate() {
        let found = content(&**file)?;
        assert!(found == pattern(300_000, seed), "scratch file {seed}");
    }
    assert_eq!(read(&*subject.spool, "named")?, b"named");
    Ok(())
}

fn any_number_of_files_is_in_use_at_once(subject: &Subject) -> io::Result<()> {
    let spool = &*subject.spool;
    let names: Vec<String> = (0..300).map(|number| format!("file-{number}")).collect();
    let mut writers = Vec::new();
    for name in &names {
        writers.push(spool.create(name)?);
    }
    for round in ["a", "b"] {
        for (name, writer) in names.iter().zip(&mut writers) {
            writer.write_all(format!("{round} of {name};").as_bytes())?;
        }
    }
    for writer in &mut writers {
        writer.sync()?;
    }
    let opened: io::Result<Vec<_>> = names.iter().map(|name| spool.open(name)).collect();
    for (name, file) in names.iter().zip(opened?) {
        let expected = format!("a of {name};b of {name};");
        assert_eq!(content(&*file)?, expected.as_bytes());
    }
    Ok(())
}

fn threads_write_parts_of_one_file_at_once(subject: &Subject) -> io::Result<()> {
    const PART: usize = 40_000;
    write(&*subject.spool, "shared", &[])?;
    let file = subject.spool.open("shared")?;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|part| {
                let file = &file;
                scope.spawn(move || file.write_at(&pattern(PART, part), (part * PART) as u64))
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer panicked")?;
        }
        io::Result::Ok(())
    })?;
    let expected: Vec<u8> = (0..4).flat_map(|part| pattern(PART, part)).collect();
    let found = content(&*file)?;
    assert!(found == expected, "parts are lost or mixed");
    Ok(())
}

fn synced_files_survive_the_process(subject: &Subject) -> io::Result<()> {
    let Some(reopen) = &subject.reopen else {
        return Ok(());
    };
    write(&*subject.spool, "kept", &pattern(150_000, 3))?;
    subject.spool.open("kept")?.write_at(b"changed", 70_000)?;
    write(&*subject.spool, "gone", b"gone")?;
    subject.spool.remove("gone")?;
    subject.spool.scratch()?.write_at(b"scratch", 0)?;
    let mut expected = pattern(150_000, 3);
    expected[70_000..70_007].copy_from_slice(b"changed");
    let later = reopen();
    let found = read(&*later, "kept")?;
    assert!(found == expected, "the file differs in another process");
    assert!(later.open("gone").is_err(), "a removed file is back");
    Ok(())
}
