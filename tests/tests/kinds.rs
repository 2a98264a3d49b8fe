//! The library over every provider and route, with every kind of request.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use lmbatch::{Attachment, Message, Outcome, Outcomes, Request};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_tests::{Mixed, SUBJECTS, Subject, mixed};

const COUNT: usize = 1000;

async fn emulator() -> Emulator {
    let builder = Emulator::builder().pace(Pace::INSTANT).seed(3);
    builder.start().await.unwrap()
}

fn check(subject: &Subject, asked: &[Mixed], outcomes: &Outcomes) {
    assert_eq!(outcomes.len(), asked.len(), "{}", subject.name);
    for (asked, (id, outcome)) in asked.iter().zip(outcomes.iter()) {
        let at = format!("{}: {} ({})", subject.name, asked.id, asked.line);
        assert_eq!(id.as_str(), asked.id, "{at}");
        let problem = outcome.problem().map(|problem| problem.as_str());
        let found = (outcome.status().as_str(), problem);
        assert_eq!(found, (asked.status, asked.problem), "{at}: {outcome:?}");
        if let Outcome::Succeeded { value, .. } = outcome {
            let text = value.text();
            assert!(text.contains(&asked.text), "{at}: {text}");
            let calls = asked.line.get("tool_choice").is_some();
            assert_eq!(value.tool_calls().count(), usize::from(calls), "{at}");
            let thinks = asked.line.get("thinking").is_some() && subject.name != "openai chat";
            let thought = value.thinking().any(|thinking| !thinking.text.is_empty());
            assert_eq!(thought, thinks, "{at}");
        }
    }
}

#[tokio::test]
async fn a_thousand_requests_of_every_kind_have_the_expected_outcomes_in_the_library() {
    for subject in SUBJECTS {
        let emulator = emulator().await;
        let asked = mixed(subject, COUNT);
        let requests: Vec<Request> = asked.iter().map(Mixed::request).collect();
        let invoker = subject.invoker(&emulator);
        let outcomes = invoker.batch().invoke(requests).await.unwrap();
        check(subject, &asked, &outcomes);
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
}

#[tokio::test]
async fn another_process_retrieves_the_same_outcomes_with_the_handle() {
    for subject in SUBJECTS {
        let emulator = emulator().await;
        let asked = mixed(subject, COUNT);
        let requests: Vec<Request> = asked.iter().map(Mixed::request).collect();
        let created = subject.invoker(&emulator).batch().create(requests).await;
        let kept = serde_json::to_string(&created.unwrap()).unwrap();
        // No state of the first invoker is used: another model, no tools, no schema.
        let other = lmbatch::LMInvoker::shared(subject.connect(&emulator), "another");
        let handle: lmbatch::BatchHandle = serde_json::from_str(&kept).unwrap();
        let status = other.batch().status(&handle.batch).await.unwrap().status;
        assert!(status.is_terminal(), "{}: {status}", subject.name);
        let outcomes = other.batch().retrieve(&handle).await.unwrap();
        check(subject, &asked, &outcomes);
    }
}

#[tokio::test]
async fn attachments_by_path_are_read_on_sending_and_named_on_failure() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("no-suffix");
    std::fs::write(&image, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    let table = folder.path().join("table.csv");
    std::fs::write(&table, "a,b\n1,2\n").unwrap();
    let ask = |path: &std::path::Path| {
        let attachment = Attachment::from_path(path.to_str().unwrap());
        Request::new(
            "a",
            Message::user(["What is this?".into(), attachment.into()]),
        )
    };
    for subject in SUBJECTS {
        let emulator = emulator().await;
        let invoker = subject.invoker(&emulator);
        let outcomes = invoker.batch().invoke([ask(&image)]).await.unwrap();
        assert!(outcomes["a"].is_usable(), "{}: {outcomes:?}", subject.name);
        let gone = invoker
            .batch()
            .invoke([ask(&folder.path().join("gone.png"))]);
        let refused = gone.await.unwrap_err().to_string();
        assert!(refused.contains("gone.png cannot be read"), "{refused}");
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
    // The content decides the media type, then the name; not every provider accepts each type.
    let emulator = emulator().await;
    let google = SUBJECTS
        .iter()
        .find(|subject| subject.provider == "google")
        .unwrap();
    let outcomes = google
        .invoker(&emulator)
        .batch()
        .invoke([ask(&table)])
        .await
        .unwrap();
    assert!(outcomes["a"].is_usable());
}
