//! Tables as inputs: formats, compression, columns, templates, samples and invalid rows.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[cfg(feature = "parquet")]
mod columnar;

use std::fmt::Write as _;
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use lmbatch_core::{ContentView, Error, RequestSource, RequestView, SourceView, SourcedRequest};
use lmbatch_lines::{
    InputContext, InputFormat, KeptColumns, NO_PROMPT, Sample, TableInput, TableOptions,
};

/// Returns options with changes.
fn options(change: impl FnOnce(&mut TableOptions)) -> TableOptions {
    let mut options = TableOptions::default();
    options.format = InputFormat::Csv;
    change(&mut options);
    options
}

fn context() -> InputContext {
    InputContext::new("acme", "m").with_folder("")
}

fn table(input: impl Into<Vec<u8>>, options: TableOptions) -> TableInput {
    TableInput::new(Cursor::new(input.into()), options, context())
}

/// Shows a request as `place id: [system] contents metadata (model)`, or its error.
fn shown(sourced: &SourcedRequest<'_>) -> String {
    let place = sourced.position;
    let entry = match &sourced.entry {
        Ok(entry) => entry,
        Err(error) => return format!("{place} {}", error.message().unwrap_or_default()),
    };
    let RequestView::Generate(request) = &entry.request else {
        return format!("{place} raw");
    };
    let mut shown = format!("{place} {}:", entry.id.decode());
    if let Some(system) = request.system {
        write!(shown, " [{}]", system.decode()).unwrap();
    }
    for content in request.messages.iter().flat_map(|one| &one.contents) {
        match content {
            ContentView::Text(text) => write!(shown, " {}", text.decode()).unwrap(),
            ContentView::Attachment(attachment) => {
                let source = match &attachment.source {
                    SourceView::Path(path) => path.display().to_string(),
                    SourceView::Url(url) => url.decode().into_owned(),
                    other => format!("{other:?}"),
                };
                write!(shown, " <{} {source}>", attachment.kind.as_str()).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    if let Some(metadata) = entry.metadata {
        write!(shown, " {}", metadata.as_str()).unwrap();
    }
    let model = request.model.decode();
    if model != "m" {
        write!(shown, " ({model})").unwrap();
    }
    shown
}

/// Reads a table to its end. Invalid rows are offered to the source, as the planner does.
fn read(mut table: TableInput) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    loop {
        let (mut found, mut error) = (None, None);
        let has_one = table.next(&mut |sourced| {
            found = Some(shown(&sourced));
            error = sourced.entry.err().map(|error| (sourced.position, error));
        })?;
        if !has_one {
            return Ok(all);
        }
        if let Some((place, error)) = error
            && table.leave_out(place, &error)?
        {
            continue;
        }
        all.extend(found);
    }
}

fn rows(input: impl Into<Vec<u8>>, options: TableOptions) -> Vec<String> {
    read(table(input, options)).unwrap()
}

fn refusal(input: impl Into<Vec<u8>>, options: TableOptions) -> String {
    let error = read(table(input, options)).unwrap_err();
    error.message().unwrap_or_default().to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Reader that returns one byte at a time, as a slow pipe does.
struct Slow(Cursor<Vec<u8>>);

impl io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(1);
        io::Read::read(&mut self.0, &mut buffer[..end])
    }
}

#[test]
fn a_table_is_read_in_every_format_compression_and_line_ending() {
    let quoted = |delimiter: char| {
        format!(
            "id{delimiter}text\na{delimiter}\"x, \"\"y\"\"\tz\"\n\nü{delimiter}\"two\nlines\"\nc{delimiter}\n"
        )
    };
    let objects = "{\"id\":\"a\",\"text\":\"x, \\\"y\\\"\\tz\"}\n\n{\"id\":\"ü\",\"text\":\"two\\nlines\"}\n\n{\"id\":\"c\",\"text\":\"\"}\n";
    for (format, input) in [
        (InputFormat::Csv, quoted(',')),
        (InputFormat::Tsv, quoted('\t')),
        (InputFormat::JsonLines, objects.to_owned()),
    ] {
        for line_end in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let text = format!("{mark}{}", input.replace('\n', line_end));
                // A line break inside of a cell is part of the cell.
                let inner = match format {
                    InputFormat::JsonLines => "\n",
                    _ => line_end,
                };
                let last = if format == InputFormat::JsonLines {
                    5
                } else {
                    6
                };
                let first = if format == InputFormat::JsonLines {
                    1
                } else {
                    2
                };
                let expected = [
                    format!("{first} a: x, \"y\"\tz|"),
                    format!("{} ü: two{inner}lines|", first + 2),
                    format!("{last} c: |"),
                ];
                let text = text.into_bytes();
                for bytes in [
                    text.clone(),
                    gzip(&text),
                    zstd(&text),
                    text[..text.len() - 1].into(),
                ] {
                    let options = options(|options| {
                        options.format = format;
                        options.prompt = Some("{{ text }}|".to_owned());
                    });
                    let found = rows(bytes.clone(), options.clone());
                    assert_eq!(found, expected, "{format:?} {line_end:?} {mark:?}");
                    let slow = io::BufReader::new(Slow(Cursor::new(bytes)));
                    let slow = TableInput::new(slow, options, context());
                    assert_eq!(read(slow).unwrap(), expected, "{format:?} slow");
                }
            }
        }
    }
}

#[test]
fn compressed_members_in_a_row_are_one_input() {
    let both = [gzip(b"prompt\na\n"), gzip(b"b\n")].concat();
    assert_eq!(rows(both, options(|_| {})), ["2 1: a", "3 2: b"]);
    let both = [zstd(b"prompt\na\n"), zstd(b"b\n")].concat();
    assert_eq!(rows(both, options(|_| {})), ["2 1: a", "3 2: b"]);
    let cut = gzip(b"prompt\na\n");
    assert!(read(table(&cut[..cut.len() - 4], options(|_| {}))).is_err());
}

#[test]
fn another_format_is_refused_by_its_name() {
    for (bytes, expected) in [
        (&b"PK\x03\x04rest"[..], "spreadsheet"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\xff\xfei\0d\0", "UTF-16"),
        (b"\xfe\xff\0i\0d", "UTF-16"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh91AY", "bzip2"),
        (b"\x04\x22\x4d\x18\x64", "LZ4"),
        (b"\xff\x06\0\0sNaPpY", "Snappy"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (
            b"\x1b\xda\x06\xa0\x9d",
            "invalid UTF-8 at byte 2 of line 1); if the file is compressed with brotli",
        ),
        (b"%PDF-1.7", "PDF"),
        (b"[{\"id\":1}]", "JSON"),
        (b"{\"id\":1}", "JSON"),
    ] {
        for bytes in [bytes.to_vec(), gzip(bytes), zstd(bytes)] {
            let found = refusal(bytes, options(|_| {}));
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
    let twice = refusal(gzip(&zstd(b"a,b\n")), options(|_| {}));
    assert_eq!(twice, "the input is compressed twice; decompress it once");
    let lines = |bytes: &[u8]| {
        let options = options(|options| {
            options.format = InputFormat::JsonLines;
            options.prompt = Some("{{ a }}".to_owned());
        });
        rows(bytes, options).remove(0)
    };
    assert_eq!(
        lines(b"[{\"a\":1}]"),
        "1 the input is not JSON Lines: it is a JSON array"
    );
    assert!(lines(b"{\n  \"a\": 1\n}\n").ends_with("its JSON objects span several lines"));
    assert!(lines(b"id,a\n1,2\n").ends_with("it looks like CSV"));
}

#[test]
fn a_header_with_empty_or_repeated_names_is_refused_before_a_row_is_read() {
    for (input, expected) in [
        (
            "id,,prompt\n1,2,3\n",
            "the header: column 2 has no name; name it, or read the input without headers",
        ),
        (
            "a,b, a \n",
            "the header: columns 1 and 3 have the same name, \"a\"; rename one of them",
        ),
    ] {
        assert_eq!(refusal(input, options(|_| {})), expected);
    }
    assert_eq!(rows("", options(|_| {})), [""; 0]);
    assert_eq!(rows("prompt\n", options(|_| {})), [""; 0]);
}

#[test]
fn a_row_with_other_cells_than_the_header_is_an_error_of_its_line() {
    let found = rows(
        "prompt,b\r\n\r\n\"x\ny\",1\r\na\r\nb,2,3\r\nc,3",
        options(|_| {}),
    );
    assert_eq!(found.len(), 4);
    assert_eq!(found[0], "3 1: x\ny");
    assert!(
        found[1].starts_with("5 the row has 1 cell, and the table has 2 columns"),
        "{found:?}"
    );
    assert!(found[2].starts_with("6 the row has 3 cells"), "{found:?}");
    assert_eq!(found[3], "7 4: c");
    let latin = rows(&b"prompt\nna\xefve\nb\n"[..], options(|_| {}));
    assert!(
        latin[0].starts_with("2 the column \"prompt\" is not UTF-8 at byte 3; convert"),
        "{latin:?}"
    );
    assert_eq!(latin[1], "3 2: b");
}

#[test]
fn delimiters_and_missing_headers_are_options() {
    let found = rows(
        "a;\"b;c\"\nd;e\n",
        options(|options| {
            options.delimiter = Some(b';');
            options.has_headers = false;
            options.prompt = Some("{{ c2 }}-{{ c1 }}".to_owned());
        }),
    );
    assert_eq!(found, ["1 1: b;c-a", "2 2: e-d"]);
}

#[test]
fn columns_are_found_against_the_header() {
    let with = |change: fn(&mut TableOptions)| refusal("id,text\n", options(change));
    let ending = "; the columns are id, text";
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(
        with(|options| options.prompt = Some("{{ txt }}".to_owned())),
        format!(
            "there is no column \"txt\", which the prompt reads at line 1, column 4{ending}; did you mean \"text\"?"
        )
    );
    assert_eq!(
        with(|options| {
            options.prompt = Some("x".to_owned());
            options.system = Some("\n{{ lang }}".to_owned());
        }),
        format!(
            "there is no column \"lang\", which the system message reads at line 2, column 4{ending}"
        )
    );
    assert_eq!(
        with(|_| {}),
        format!("{NO_PROMPT}: there is no column \"prompt\", the default{ending}")
    );
    type Change = fn(&mut TableOptions);
    let changes: [(Change, &str); 4] = [
        (
            |options| options.id = Some("nope".to_owned()),
            "which holds the id",
        ),
        (
            |options| options.attach = Some("nope".to_owned()),
            "which holds the attachments",
        ),
        (
            |options| options.model_field = Some("nope".to_owned()),
            "which holds the model",
        ),
        (
            |options| options.keep = KeptColumns::Named(vec!["nope".to_owned()]),
            "which is to be kept",
        ),
    ];
    for (change, role) in changes {
        let found = refusal(
            "id,text\n",
            options(|options| {
                options.prompt_field = of("text");
                change(options);
            }),
        );
        assert_eq!(
            found,
            format!("there is no column \"nope\", {role}{ending}")
        );
    }
    let objects = rows(
        "{\"name\":\"x\"}\n{\"nam\":\"y\"}\n",
        options(|options| {
            options.format = InputFormat::JsonLines;
            options.prompt = of("Hi {{ name }}");
        }),
    );
    assert_eq!(
        objects,
        [
            "1 1: Hi x",
            "2 there is no column \"name\", which the prompt reads at line 1, column 7; the columns are nam; did you mean \"nam\"?"
        ]
    );
    let never = refusal(
        "{\"prompt\":\"x\"}\n",
        options(|options| {
            options.format = InputFormat::JsonLines;
            options.keep = KeptColumns::Named(vec!["note".to_owned()]);
        }),
    );
    assert_eq!(never, "no row has a column \"note\", which is to be kept");
}

#[test]
fn ids_models_kept_columns_and_attachments_come_from_columns() {
    let input = "key,prompt,system,model,files,n\nk1,hi,be brief,acme/big,a.png | https://h.test/b.pdf,007\n,hi,,,,\nk3,hi,,,,1.0\n";
    let found = rows(
        input,
        options(|options| {
            options.id = Some("key".to_owned());
            options.model_field = Some("model".to_owned());
            options.keep = KeptColumns::Named(vec!["n".to_owned(), "key".to_owned()]);
            options.attach = Some("files".to_owned());
        }),
    );
    assert_eq!(
        found,
        [
            "2 k1: [be brief] hi <image a.png> <document https://h.test/b.pdf> {\"n\":\"007\",\"key\":\"k1\"} (big)",
            "3 the column \"key\", which holds the id, is empty",
            "4 k3: hi {\"n\":\"1.0\",\"key\":\"k3\"}",
        ]
    );
    let table = table(
        "{\"id\":7,\"prompt\":\"hi\",\"n\":1.50,\"o\":{\"b\":[true]}}\n{\"id\":8,\"prompt\":\"hi\",\"tools\":[]}\n",
        options(|options| {
            options.format = InputFormat::JsonLines;
            options.keep = KeptColumns::All;
        }),
    );
    let facts = table.facts();
    let found = read(table).unwrap();
    assert_eq!(
        found[0],
        "1 7: hi {\"id\":7,\"prompt\":\"hi\",\"n\":1.50,\"o\":{\"b\":[true]}}"
    );
    assert!(
        found[1].starts_with("2 tools is not sent for a row of a table"),
        "{found:?}"
    );
    assert_eq!(facts.kept(), ["id", "prompt", "n", "o"]);
}

#[test]
fn lines_of_the_own_form_may_name_their_model() {
    let found = rows(
        "{\"id\":1,\"model\":\"big\",\"prompt\":\"a\"}\n{\"id\":2,\"model\":\"\",\"prompt\":\"a\"}\n{\"id\":3,\"model\":\"acme/x/y\",\"contents\":[\"a\"]}\n",
        TableOptions::default(),
    );
    assert_eq!(
        found,
        ["1 1: a (big)", "2 the model is empty", "3 3: a (x/y)"]
    );
}

#[test]
fn a_sample_is_the_same_each_time_and_in_the_order_of_the_input() {
    let input = (0..1_000).fold("prompt\n".to_owned(), |mut input, row| {
        writeln!(input, "{row}").unwrap();
        input
    });
    let draw = |count: u64, seed: u64| {
        rows(
            input.clone(),
            options(|options| options.sample = Some(Sample { count, seed })),
        )
    };
    let first = draw(20, 0);
    assert_eq!(first.len(), 20);
    assert_eq!(first, draw(20, 0));
    assert_ne!(first, draw(20, 1));
    let places: Vec<u64> = first
        .iter()
        .map(|row| row.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    // The ids are the numbers of the rows in the input.
    assert!(first[0].ends_with(&format!(" {}: {}", places[0] - 1, places[0] - 2)));
    assert_eq!(draw(5_000, 3).len(), 1_000);
    let limited = rows(input.clone(), options(|options| options.limit = Some(2)));
    assert_eq!(limited, ["2 1: 0", "3 2: 1"]);
    let own = rows(
        "{\"prompt\":\"a\"}\n\n{\"prompt\":\"b\"}\n{\"prompt\":\"c\"}\n",
        options(|options| {
            options.format = InputFormat::JsonLines;
            options.limit = Some(2);
        }),
    );
    assert_eq!(own, ["1 1: a", "3 3: b"]);
}

/// File in memory that several owners see.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn invalid_rows_are_left_out_and_written_to_a_file() {
    let objects = options(|options| options.format = InputFormat::JsonLines);
    for (input, options, expected, skipped) in [
        (
            "id,prompt\na,x\nb\n,y\nc,z\n",
            options(|_| {}),
            vec!["2 a: x", "5 c: z"],
            vec![
                r#"{"line":3,"error":"the row has 1 cell, and the table has 2 columns; quote cells that hold the delimiter, a quote or a line break","row":["b"]}"#,
                r#"{"line":4,"error":"the column \"id\", which holds the id, is empty","row":{"id":"","prompt":"y"}}"#,
            ],
        ),
        (
            "{\"prompt\":\"x\"}\nnonsense\n{\"promt\":1}\n",
            objects,
            vec!["1 1: x"],
            vec![
                r#"{"line":2,"error":"the line is not a JSON object","row":"nonsense"}"#,
                r#"{"line":3,"error":"unknown field \"promt\""#,
            ],
        ),
    ] {
        let file = Shared::default();
        let table = table(input, options).with_skipped(file.clone());
        let facts = table.facts();
        assert_eq!(read(table).unwrap(), expected);
        assert_eq!(facts.skipped(), skipped.len() as u64);
        let written = file.0.lock().unwrap().clone();
        let written = String::from_utf8(written).unwrap();
        for (line, expected) in written.lines().zip(&skipped) {
            assert!(line.starts_with(expected), "{line}");
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(written.lines().count(), skipped.len());
    }
}

#[test]
fn files_of_a_folder_are_requests_in_the_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("b.txt", "ü\n".as_bytes());
    put("a/c.txt", b"\xef\xbb\xbfinner");
    put("a/d.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    put(".hidden.txt", b"x");
    let find = |pattern: &str, prompt: Option<&str>| {
        let context = InputContext::new("acme", "m").with_folder(folder.path());
        let options = options(|options| options.prompt = prompt.map(str::to_owned));
        read(TableInput::files(folder.path(), pattern, options, context))
    };
    assert_eq!(find("*.txt", None).unwrap(), ["1 b.txt: ü\n"]);
    assert_eq!(
        find("**/*", Some("{{ name }} in {{ path }}")).unwrap(),
        [
            "1 a/c.txt: c.txt in a/c.txt",
            "2 a/d.png: d.png in a/d.png <image a/d.png>",
            "3 b.txt: b.txt in b.txt",
        ]
    );
    let all = find("**/*", None).unwrap();
    assert_eq!(all[0], "1 a/c.txt: inner");
    assert_eq!(
        all[1],
        "2 the file is binary and has no text; give a prompt that asks about it"
    );
    for pattern in ["../*", "/etc/*", "[", "a/../../*"] {
        assert!(find(pattern, None).is_err(), "{pattern}");
    }
}

/// Numbers from a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Returns whether each quoted field is closed, right before the end of its field.
fn is_well_quoted(body: &str) -> bool {
    let mut rest = body.chars().peekable();
    while let Some(first) = rest.next() {
        let ends = |c: char| matches!(c, ',' | '\n' | '\r');
        if first != '"' {
            // A quote within a field without quotes is a character.
            let mut last = first;
            while !ends(last) {
                match rest.next() {
                    Some(next) => last = next,
                    None => return true,
                }
            }
            continue;
        }
        loop {
            match (rest.next(), rest.peek()) {
                (None, _) => return false,
                (Some('"'), Some('"')) => {
                    rest.next();
                }
                (Some('"'), None) => return true,
                (Some('"'), Some(next)) if ends(*next) => {
                    rest.next();
                    break;
                }
                (Some('"'), Some(_)) => return false,
                (Some(_), _) => {}
            }
        }
    }
    true
}

#[test]
fn records_equal_those_of_the_crate_csv_for_random_tables() {
    let pieces = [
        "a", "\"", "\"\"", ",", "\n", "\r\n", "\r", "é", " ", "b\"c", "\",\"", "\"x\ny\"",
    ];
    let mut numbers = Numbers(21);
    let (mut compared, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let length = numbers.below(14);
        let body: String = (0..length)
            .map(|_| pieces[numbers.below(pieces.len() as u64) as usize])
            .collect();
        let mut expected = Vec::new();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(body.as_bytes());
        for record in reader.records() {
            let record = record.unwrap();
            expected.push(record.iter().map(str::to_owned).collect::<Vec<_>>());
        }
        let Some(width) = expected.first().map(Vec::len) else {
            continue;
        };
        let options = options(|options| {
            options.has_headers = false;
            options.prompt = Some("x".to_owned());
            options.keep = KeptColumns::All;
        });
        let found = read(table(body.as_bytes(), options));
        if !is_well_quoted(&body) {
            assert!(found.is_err(), "{body:?}");
            refused += 1;
            continue;
        }
        let found = found.unwrap();
        compared += 1;
        assert_eq!(found.len(), expected.len(), "{body:?}");
        for (found, expected) in found.iter().zip(&expected) {
            if expected.len() != width {
                assert!(found.contains("the row has"), "{body:?}: {found}");
                continue;
            }
            let cells = &found[found.find('{').unwrap()..];
            let cells: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(cells).unwrap();
            let cells: Vec<_> = cells.values().map(|cell| cell.as_str().unwrap()).collect();
            assert_eq!(&cells, expected, "{body:?}");
        }
    }
    assert!(compared > 1_000 && refused > 1_000, "{compared}, {refused}");
}

#[test]
fn memory_is_independent_of_the_number_of_rows() {
    let peak = |count: u32, compress: fn(&[u8]) -> Vec<u8>| {
        let mut input = "id,text,note\n".to_owned();
        for row in 0..count {
            writeln!(input, "{row},\"some text, of one line\",a note").unwrap();
        }
        let bytes = compress(input.as_bytes());
        drop(input);
        let mut found = 0;
        let info = allocation_counter::measure(|| {
            let options = options(|options| {
                options.prompt = Some("Summarise: {{ text }}".to_owned());
                options.keep = KeptColumns::Named(vec!["note".to_owned()]);
            });
            let mut table = TableInput::new(Cursor::new(bytes), options, context());
            let mut visit = |sourced: SourcedRequest<'_>| found += u32::from(sourced.entry.is_ok());
            while table.next(&mut visit).unwrap() {}
        });
        assert_eq!(found, count);
        info.bytes_max
    };
    type Compress = fn(&[u8]) -> Vec<u8>;
    let ways: [(&str, Compress); 3] = [("plain", <[u8]>::to_vec), ("gzip", gzip), ("zstd", zstd)];
    for (name, compress) in ways {
        let (few, many) = (peak(2_000, compress), peak(200_000, compress));
        assert!(many <= few + (64 << 10), "{name}: {few} and {many} bytes");
    }
}
