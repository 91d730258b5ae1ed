//! Traces and pictures of workers, read back.

use std::{collections::BTreeMap, time::Duration};

use pool_api::{Error, InsightsOptions, StartMethod};
use serde_json::Value;

use crate::{
    case::{Case, Outcome, builder},
    scratch::Scratch,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("trace_of_all_parts", all_parts),
    Case::new("trace_of_a_death_and_its_replacement", death).processes(),
    Case::new("trace_has_a_bound", bound),
    Case::new("trace_and_picture_of_hostile_texts", hostile),
    Case::new("picture_of_many_workers", many),
    Case::new("files_that_cannot_be_written", unwritable),
];

/// What items take at least that are not sampled, with the slowest clock.
const LONG: Duration = Duration::from_micros(150);

/// The events of a trace by the names of their threads; each has been checked.
fn events(pool: &pool_api::WorkerPool<(), impl Sized, impl Sized>) -> BTreeMap<String, Vec<Value>> {
    let file = Scratch::new();
    pool.write_trace(file.path()).expect("it is written");
    let text = std::fs::read_to_string(file.path()).expect("it is text");
    let whole: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut names: BTreeMap<u64, String> = BTreeMap::from([(0, "all".to_string())]);
    let mut by_thread: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut last: BTreeMap<u64, f64> = BTreeMap::new();
    for event in whole["traceEvents"].as_array().expect("a list of events") {
        let thread = event["tid"].as_u64().expect("a thread");
        assert!(event["pid"].is_u64() && event["name"].is_string(), "{event}");
        match event["ph"].as_str() {
            Some("M") if event["name"] == "thread_name" => {
                names.insert(thread, event["args"]["name"].as_str().expect("a name").to_string());
            }
            Some("M") => {}
            Some("X") => {
                let (at, spent) = (event["ts"].as_f64(), event["dur"].as_f64());
                let (at, spent) = (at.expect("a time"), spent.expect("a time"));
                let end = last.entry(thread).or_default();
                assert!(at >= *end - 1e-6 && spent >= 0.0, "spans do not overlap: {event}");
                *end = at + spent;
                by_thread.entry(names[&thread].clone()).or_default().push(event.clone());
            }
            Some("i") => {
                assert!(event["ts"].is_f64() && event["s"].is_string(), "{event}");
                by_thread.entry(names[&thread].clone()).or_default().push(event.clone());
            }
            other => panic!("no such event: {other:?}"),
        }
    }
    by_thread
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["cat"] == kind).count()
}

fn all_parts(method: StartMethod) -> Outcome {
    let pool = builder(method, 2)
        .enable_insights(InsightsOptions::new())
        .worker_init(|_| std::thread::sleep(Duration::from_millis(1)))
        .worker_exit(|_| std::thread::sleep(Duration::from_millis(1)))
        .build()?;
    let spend = |n: u64| std::thread::sleep(Duration::from_micros(100 + n));
    pool.tasks(0..40u64).chunk_size(5).map(spend)?;
    pool.stop_and_join()?;
    let events = events(&pool);
    let insights = pool.insights();
    let mut items: Vec<u64> = Vec::new();
    for worker in 0..2 {
        let events = &events[&format!("worker {worker}")];
        assert_eq!((count(events, "start"), count(events, "death")), (1, 0));
        items.extend(events.iter().filter_map(|event| event["args"]["item"].as_u64()));
        // The spans are all of the worker's time, and so are the parts of its insights.
        let spans: f64 = events.iter().filter_map(|event| event["dur"].as_f64()).sum();
        let parts = [
            insights.start_up_time[worker],
            insights.init_time[worker],
            insights.waiting_time[worker],
            insights.working_time[worker],
            insights.exit_time[worker],
        ];
        let parts = parts.iter().sum::<Duration>().as_secs_f64() * 1e6;
        assert!((spans / parts - 1.0).abs() < 0.02, "{spans} and {parts}");
    }
    items.sort();
    assert_eq!(items, (0..40).collect::<Vec<_>>());
    let of = |kind| events.values().map(|events| count(events, kind)).sum::<usize>();
    assert!(of("init") >= 1 && of("init") == of("exit").min(of("init")), "those with tasks");
    picture(&pool);
    Ok(())
}

fn death(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).enable_insights(InsightsOptions::new()).build()?;
    let results = pool.tasks(0..20u64).chunk_size(4).map_results(|n| {
        std::thread::sleep(LONG);
        if n == 9 {
            std::process::abort();
        }
        n
    })?;
    assert!(results[9].is_err());
    pool.stop_and_join()?;
    let events = events(&pool);
    let of_dead: Vec<_> = events.values().filter(|events| count(events, "death") > 0).collect();
    let [row] = of_dead[..] else { panic!("one worker died: {events:?}") };
    let place = |what: &dyn Fn(&Value) -> bool| row.iter().position(what).expect("it is there");
    let killed = place(&|event| event["args"]["item"] == 9);
    assert_eq!(row[killed]["args"]["unfinished"], true);
    let time = |at: usize| row[at]["ts"].as_f64().expect("a time");
    let death = place(&|event| event["cat"] == "death");
    assert!(row[death]["name"].as_str().is_some_and(|name| name.contains("SIGABRT")));
    let replacement = place(&|event| event["cat"] == "replacement");
    assert!(time(killed) <= time(death) && time(death) <= time(replacement));
    assert_eq!(count(row, "start"), 2);
    let svg = picture(&pool);
    assert!(svg.contains("class=\"death\"") && svg.contains("SIGABRT"), "{svg}");
    Ok(())
}

fn bound(method: StartMethod) -> Outcome {
    let options = InsightsOptions::new().trace_records(16);
    let pool = builder(method, 2).enable_insights(options).build()?;
    for size in [1, 3, 50] {
        pool.tasks(0..200u64).chunk_size(size).map(|n| {
            std::thread::sleep(LONG);
            n
        })?;
    }
    pool.stop_and_join()?;
    let (events, insights) = (events(&pool), pool.insights());
    assert_eq!(insights.n_completed_tasks.iter().sum::<u64>(), 600);
    let of = |name: &str| {
        let named = |event: &&Value| event["name"].as_str().is_some_and(|n| n.starts_with(name));
        events.values().flatten().filter(named).count()
    };
    assert_eq!(of("item ") as u64 + insights.items_left_out, 600);
    // Items have 16 records, chunks 4, and one of one item is named as that is. Of each worker one
    // chunk may have records of its first items only.
    let (items, chunks) = (of("item "), of("chunk of "));
    assert!(items <= 16 + 4 && items + chunks <= 16 + 4 + 2, "{items} {chunks}");
    assert!(insights.chunks_left_out > 0 && of("not recorded") > 0);
    let said = &events["all"][0]["name"];
    let text = format!("{} items and {} chunks", insights.items_left_out, insights.chunks_left_out);
    assert!(said.as_str().is_some_and(|said| said.starts_with(&text)), "{said}");
    assert!(picture(&pool).contains(&text));
    Ok(())
}

fn hostile(method: StartMethod) -> Outcome {
    let options = InsightsOptions::new().show_args::<String>();
    let pool = builder(method, 2).enable_insights(options).build()?;
    let texts =
        ["</text></svg>", "\"},{\"", "\0\u{1b}[2J\u{7f}\u{85}", "漢字é&amp;<![CDATA[", "]]>"];
    pool.map(texts.map(|text| text.repeat(20)), |text| {
        std::thread::sleep(LONG);
        text.len()
    })?;
    let events = events(&pool);
    let shown: Vec<_> =
        events.values().flatten().filter_map(|event| event["args"]["args"].as_str()).collect();
    assert_eq!(shown.len(), 5, "{events:?}");
    assert!(shown.iter().all(|text| text.starts_with("Arg 0: \"")));
    let svg = picture(&pool);
    assert_eq!(svg.matches("Arg 0: &quot;").count(), 5, "{svg}");
    Ok(())
}

fn many(method: StartMethod) -> Outcome {
    let workers = if method == StartMethod::Spawn { 9 } else { 66 };
    let pool = builder(method, workers).enable_insights(InsightsOptions::new()).build()?;
    pool.broadcast(|_| ())?;
    pool.stop_and_join()?;
    let svg = picture(&pool);
    assert_eq!(svg.contains("and 2 more workers"), workers == 66, "{svg}");
    assert_eq!(events(&pool).len(), workers);
    Ok(())
}

fn unwritable(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).enable_insights(InsightsOptions::new()).build()?;
    // Before the first worker there is an empty trace, and an empty picture.
    picture(&pool);
    for path in ["/nowhere/at/all", "/", "", "a\0b"] {
        for written in [pool.write_trace(path), pool.write_svg(path)] {
            assert!(matches!(written, Err(Error::Resources { .. })), "{path:?}: {written:?}");
        }
    }
    // A full disk is seen.
    assert!(matches!(pool.write_svg("/dev/full"), Err(Error::Resources { .. })));
    Ok(())
}

/// The picture, whose text is well-formed and lies within it.
fn picture<W, E>(pool: &pool_api::WorkerPool<(), W, E>) -> String {
    let file = Scratch::new();
    pool.write_svg(file.path()).expect("it is written");
    let svg = std::fs::read_to_string(file.path()).expect("it is text");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg.as_str();
    let (mut wide, mut high) = (0.0, 0.0);
    let mut text: Option<(f64, &str, &str)> = None;
    while let Some(at) = rest.find('<') {
        let before = &rest[..at];
        check_text(before);
        if let Some((x, anchor, class)) = text.take() {
            let entities =
                [("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&amp;", "&")];
            let shown = entities
                .into_iter()
                .fold(before.to_string(), |text, (entity, of)| text.replace(entity, of));
            let size = match class {
                "text title" => 12.0,
                "soft code" => 7.8,
                _ => 6.7,
            };
            let width: f64 =
                shown.chars().map(|c| if c.is_ascii() { size } else { 1.8 * size }).sum();
            let (from, to) = match anchor {
                "end" => (x - width, x),
                "middle" => (x - width / 2.0, x + width / 2.0),
                _ => (x, x + width),
            };
            assert!(from >= 0.0 && to <= wide, "{shown:?} from {from} to {to} of {wide}");
        }
        let end = at + rest[at..].find('>').expect("tags end");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (name, attributes) = attributes(tag.trim_end_matches('/'));
        let number = |of: &str| attributes.get(of).and_then(|value| value.parse::<f64>().ok());
        if name == "svg" {
            (wide, high) = [number("width"), number("height")].map(|n| n.expect("a number")).into();
        }
        if name == "text" {
            let (x, y) = (number("x").expect("a place"), number("y").expect("a place"));
            assert!(y > 8.0 && y < high, "{tag}");
            let of = |name: &str| attributes.get(name).copied().unwrap_or_default();
            text = Some((x, of("text-anchor"), of("class")));
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
    assert!(svg.contains("prefers-color-scheme:dark") && !svg.contains("href"));
    svg
}

/// The name of a tag, and its attributes, each in quotes and there once.
fn attributes(tag: &str) -> (&str, BTreeMap<&str, &str>) {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut all = BTreeMap::new();
    while !rest.trim().is_empty() {
        let (key, more) = rest.trim_start().split_once("=\"").expect("a key");
        let (value, more) = more.split_once('"').expect("a value");
        check_text(value);
        assert!(all.insert(key, value).is_none(), "{tag}");
        rest = more;
    }
    (name, all)
}

/// Nothing that XML does not allow.
fn check_text(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    for (at, _) in text.match_indices('&') {
        let entity = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(entity.iter().any(|entity| text[at..].starts_with(entity)), "{text:?}");
    }
}
