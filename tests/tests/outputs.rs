//! Outputs: a file is replaced only if it is the run's own output or on request, pipes and devices are written to, and
//! no input file is ever overwritten. All of this is decided before anything is sent.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; one says what it cannot try"
)]

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};

/// A provider with one of its models.
type Provider = (&'static str, &'static str);

const OPENAI: Provider = ("openai", "openai/m");
const PROVIDERS: [Provider; 3] = [
    OPENAI,
    ("anthropic", "anthropic/claude-haiku-4-5"),
    ("google", "google/gemini-2.5-flash"),
];

struct World {
    provider: Provider,
    emulating: Emulating,
    folder: tempfile::TempDir,
}

impl World {
    fn new(prompts: &[&str]) -> Self {
        Self::of(OPENAI, prompts)
    }

    fn of(provider: Provider, prompts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
        write_input(folder.path(), prompts.iter().map(line));
        let emulating = Emulating::start();
        Self {
            provider,
            emulating,
            folder,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, args: &[&str]) -> Output {
        self.emulating.run_at(self.provider.0, self.path(), args)
    }

    fn run(&self, args: &[&str]) -> Output {
        let run = ["run", "in.jsonl", "-m", self.provider.1];
        self.at(&[&run[..], &["--poll-interval", "20ms"], args].concat())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn creates(&self) -> Value {
        self.emulating.bill()["creates"].clone()
    }

    /// Temporary files of an output that is being written.
    fn temporary(&self) -> usize {
        let names = fs::read_dir(self.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".tmp")).count()
    }
}

fn expect(output: &Output, code: i32, part: &str) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(part), "{part:?} is not in: {text}");
}

/// An answered run replaces another file only with `--force`.
#[test]
fn answered_run_and_another_file() {
    for provider in PROVIDERS {
        let world = World::of(provider, &["0", "1", "2"]);
        expect(&world.run(&["-o", "a.jsonl"]), 0, "a.jsonl");
        let written = world.read("a.jsonl");
        let mut backwards: Vec<&str> = written.lines().rev().collect();
        backwards.push("");
        for (name, contents) in [
            ("b.jsonl", "old\n".to_owned()),
            ("empty.jsonl", String::new()),
            ("cut.jsonl", written[..written.len() / 2].to_owned()),
            ("first.jsonl", written.lines().next().unwrap().to_owned()),
            ("longer.jsonl", format!("{written}\n")),
            ("backwards.jsonl", backwards.join("\n")),
            ("changed.jsonl", written.replacen("echo", "ECHO", 1)),
            ("input.jsonl", world.read("in.jsonl")),
        ] {
            world.write(name, &contents);
            let refused = world.run(&["-o", name]);
            expect(&refused, 2, &format!("output file {name} already exists"));
            assert_eq!(world.read(name), contents, "{provider:?} {name}");
            expect(&world.run(&["-o", name, "--force"]), 0, "already answered");
            assert_eq!(world.read(name), written, "{provider:?} {name}");
        }
        // A new name is written, and a copy of the output counts as the output.
        expect(&world.run(&["-o", "free.jsonl"]), 0, "already answered");
        assert_eq!(world.read("free.jsonl"), written);
        let same = world.run(&["-o", "free.jsonl"]);
        expect(&same, 0, "is complete and unchanged");
        assert_eq!(world.creates(), 1);
    }
}

#[test]
fn a_changed_output_is_not_taken_for_the_output_of_the_run() {
    let world = World::new(&["1", "2", "3"]);
    expect(&world.run(&["-o", "out.jsonl", "--run", "mine"]), 0, "");
    let written = world.read("out.jsonl");
    let again = |more: &[&str]| world.run(&[&["-o", "out.jsonl", "--run", "mine"], more].concat());
    expect(&again(&[]), 0, "out.jsonl is complete and unchanged");
    let cut = written.lines().next().unwrap().to_owned() + "\n";
    for changed in [
        cut,
        written.replacen("echo", "ECHO", 1),
        format!("{written}\n"),
        String::new(),
    ] {
        world.write("out.jsonl", &changed);
        expect(&again(&[]), 2, "already exists");
        assert_eq!(world.read("out.jsonl"), changed);
        expect(
            &world.at(&["audit", "mine"]),
            1,
            "was changed after it was written",
        );
        expect(&again(&["--force"]), 0, "already answered");
        assert_eq!(world.read("out.jsonl"), written);
        expect(&world.at(&["audit", "mine"]), 0, "unchanged");
    }
    fs::remove_file(world.path().join("out.jsonl")).unwrap();
    expect(&again(&[]), 0, "already answered");
    assert_eq!(world.read("out.jsonl"), written);
    assert_eq!((world.creates(), world.temporary()), (json!(1), 0));
}

#[test]
fn requests_are_sent_again_only_if_the_output_may_be_replaced() {
    let world = World::new(&["1", "lmb:error-400"]);
    let update = ["-o", "out.jsonl", "--run", "mine", "--update"];
    expect(&world.run(&update[..4]), 3, "");
    let written = world.read("out.jsonl");
    let input = world.read("in.jsonl");
    let more = format!("{input}{}\n", json!({"id": "new", "prompt": "new"}));
    let requeue = [
        "requeue",
        "mine",
        "--max-attempts",
        "1",
        "--poll-interval",
        "20ms",
    ];
    for changed in ["mine\n", &written.replacen("echo", "ECHO", 1)] {
        world.write("out.jsonl", changed);
        expect(&world.at(&requeue), 2, "already exists");
        world.write("in.jsonl", &more);
        expect(&world.run(&update), 2, "already exists");
        world.write("in.jsonl", &input);
        assert_eq!(world.read("out.jsonl"), changed);
    }
    assert_eq!(world.creates(), 1);
    // The run's own output is replaced without a warning.
    world.write("out.jsonl", &written);
    expect(&world.at(&requeue), 3, "");
    world.write("in.jsonl", &more);
    expect(&world.run(&update), 3, "1 new");
    assert_eq!(lines(&world.path().join("out.jsonl")).len(), 3);
    assert_eq!(world.creates(), 3);
    // A process that resumes after a requeue recognises the output of the attempt before.
    let detached = world.at(&[&requeue[..], &["--timeout", "1ms"]].concat());
    expect(&detached, 4, "requests ended");
    expect(
        &world.at(&[
            "resume",
            "mine",
            "--poll-interval",
            "20ms",
            "--max-attempts",
            "1",
        ]),
        3,
        "",
    );
}

/// Devices and pipes are written to and never replaced; sockets and block devices are refused.
#[test]
fn output_on_a_device() {
    for provider in PROVIDERS {
        devices(&World::of(provider, &["1", "2"]));
    }
}

fn devices(world: &World) {
    let kind = |name: &str| {
        fs::symlink_metadata(world.path().join(name))
            .unwrap()
            .file_type()
    };
    let made = |program: &str, args: &[&str]| {
        let made = Command::new(program)
            .args(args)
            .current_dir(world.path())
            .status();
        made.is_ok_and(|status| status.success())
    };
    let _socket = UnixListener::bind(world.path().join("socket")).unwrap();
    for force in [&[][..], &["--force"]] {
        let refused = world.run(&[&["-o", "socket"], force].concat());
        expect(&refused, 2, "is neither a file nor a pipe");
        assert!(kind("socket").is_socket());
    }
    if made("mknod", &["block", "b", "7", "250"]) {
        let refused = world.run(&["-o", "block", "--force"]);
        expect(&refused, 2, "is a block device");
        assert!(kind("block").is_block_device());
    }
    assert_eq!(world.creates(), 0);
    if made("mknod", &["node", "c", "1", "3"]) {
        symlink("node", world.path().join("to-node")).unwrap();
        for name in ["node", "to-node"] {
            for force in [&[][..], &["--force"]] {
                expect(&world.run(&[&["-o", name], force].concat()), 0, "");
                assert!(kind("node").is_char_device());
            }
        }
        assert!(kind("to-node").is_symlink());
    } else {
        println!("no device can be made here");
    }
    // A device that accepts nothing: reported before anything is sent, or after; the device is not replaced.
    let full = world.run(&["-o", "/dev/full", "--force"]);
    assert_ne!(full.status.code(), Some(0), "{}", said(&full));
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        if device != "/dev/full" {
            expect(&world.run(&["-o", device, "--force"]), 0, "");
        }
        let facts = fs::metadata(device).unwrap();
        assert!(facts.file_type().is_char_device(), "{device}");
    }
    assert!(made("mkfifo", &["fifo"]));
    let mut reader = Command::new("cat");
    reader
        .arg("fifo")
        .current_dir(world.path())
        .stdout(Stdio::piped());
    let reader = reader.spawn().unwrap();
    expect(&world.run(&["-o", "fifo", "--force"]), 0, "");
    let read = reader.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().count(), 2);
    assert!(kind("fifo").is_fifo());
    let standard = world.run(&["-o", "/dev/stdout"]);
    assert_eq!(standard.stdout, read.stdout);
    assert_eq!((world.creates(), world.temporary()), (json!(1), 0));
}

#[test]
fn links_are_followed_and_unwritable_outputs_are_refused_before_sending() {
    let world = World::new(&["1"]);
    let at = |name: &str| world.path().join(name);
    world.write("file", "old\n");
    symlink("file", at("link")).unwrap();
    symlink("gone", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    symlink("dir", at("dir-link")).unwrap();
    for (output, part) in [
        ("link", "already exists"),
        ("file", "already exists"),
        ("dangling", "a symbolic link to gone, which does not exist"),
        ("loop", "cannot be used"),
        ("dir", "is a directory"),
        ("dir-link", "is a directory"),
        ("no/out", "there is no folder no"),
        ("new/", "does not name a file"),
    ] {
        for command in [
            &["run", "in.jsonl", "-m", "openai/m", "-o"][..],
            &["create", "in.jsonl", "-m", "openai/m", "--handle"],
        ] {
            expect(&world.at(&[command, &[output]].concat()), 2, part);
        }
        let force = ["dangling", "loop", "dir", "dir-link", "new/"];
        if force.contains(&output) {
            expect(&world.run(&["-o", output, "--force"]), 2, part);
        }
    }
    assert_eq!(
        (world.creates(), world.read("file").as_str()),
        (json!(0), "old\n")
    );
    expect(&world.run(&["-o", "link", "--force"]), 0, "");
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    assert_eq!(lines(&at("file")).len(), 1);
    assert_eq!((world.creates(), world.temporary()), (json!(1), 0));
}

#[test]
fn an_input_file_is_never_used_as_an_output() {
    let world = World::new(&["1"]);
    let at = |name: &str| world.path().join(name);
    let input = world.read("in.jsonl");
    fs::hard_link(at("in.jsonl"), at("hard")).unwrap();
    symlink("in.jsonl", at("soft")).unwrap();
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    world.write("schema", &schema.to_string());
    world.write("system", "be brief");
    let reads = ["--schema", "schema", "--system", "@system"];
    for output in ["in.jsonl", "./in.jsonl", "hard", "soft", "schema", "system"] {
        let how = ["-o", output, "--force"];
        expect(
            &world.run(&[&reads[..], &how].concat()),
            2,
            "is the same file as",
        );
        expect(
            &world.run(&[&reads[..], &how, &["--emulate"]].concat()),
            2,
            "is the same file as",
        );
        let create = [
            "create", "in.jsonl", "-m", "openai/m", "--handle", output, "--force",
        ];
        expect(
            &world.at(&[&create[..], &reads].concat()),
            2,
            "is the same file as",
        );
    }
    // Standard input and standard output, by the files behind them.
    for redirected in [
        "- -o in.jsonl --force < in.jsonl",
        "in.jsonl -o - >> in.jsonl",
    ] {
        let mut shell = world.emulating.shell("openai", world.path());
        let program = lmbatch_tests::lmbatch();
        let line = format!("{} run -m openai/m {redirected}", program.display());
        expect(
            &shell.args(["-c", &line]).output().unwrap(),
            2,
            "is the same file as",
        );
    }
    assert_eq!(world.creates(), 0);
    expect(&world.run(&["-o", "out.jsonl", "--run", "mine"]), 0, "");
    let retrieve = ["retrieve", "mine", "-o", "hard", "--force"];
    expect(&world.at(&retrieve), 2, "is the same file as");
    expect(
        &world.run(&["-o", "soft", "--run", "mine", "--force"]),
        2,
        "is the same file as",
    );
    assert_eq!(world.read("in.jsonl"), input);
    assert_eq!(world.creates(), 1);
}
