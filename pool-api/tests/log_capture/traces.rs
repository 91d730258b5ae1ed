//! Events and spans of `tracing`.

use std::{fmt, sync::Mutex};

use pool_api::{StartMethod, logging::LogCapture};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    case::{Case, Outcome, builder},
    cases::flushed,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("events_come_with_fields_and_the_scope_of_their_spans", scopes),
    Case::new("spans_are_entered_left_and_closed", lives).processes(),
    Case::new("spans_of_killed_workers_are_closed", killed).processes(),
    Case::new("other_targets_of_events_stay", other_targets).processes(),
    Case::new("levels_of_the_subscriber_hold_in_workers", levels).processes(),
    Case::new("threads_of_tasks_have_events", threads_of_tasks).processes(),
    Case::new("values_keep_their_types", types).processes(),
];

/// What a layer was told, a line each.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn told() -> Vec<String> {
    std::mem::take(&mut *TOLD.lock().expect("no panic beside it"))
}

fn tell(line: String) {
    TOLD.lock().expect("no panic beside it").push(line);
}

struct Tells {
    /// Whether it tells of spans, too.
    of_spans: bool,
}

/// Fields of a span, as its extensions have them.
struct Fields(String);

struct Pairs<'s>(&'s mut String);

impl Visit for Pairs<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !["worker", "process", "pid", "time_unix_nanos"].contains(&field.name()) {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Tells {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = String::new();
        attributes.record(&mut Pairs(&mut text));
        let span = context.span(id).expect("it is there");
        if self.of_spans {
            tell(format!("new {}{text}", span.name()));
        }
        span.extensions_mut().insert(Fields(text));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("it is there");
        let mut extensions = span.extensions_mut();
        values.record(&mut Pairs(&mut extensions.get_mut::<Fields>().expect("inserted").0));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = String::new();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                let extensions = span.extensions();
                let fields = extensions.get::<Fields>().map_or("", |fields| &fields.0);
                text.push_str(&format!("{}{fields}: ", span.name()));
            }
        }
        text.push_str(&format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut Pairs(&mut text));
        tell(text);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if self.of_spans {
            tell(format!("enter {}", context.span(id).expect("it is there").name()));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if self.of_spans {
            tell(format!("exit {}", context.span(id).expect("it is there").name()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if self.of_spans {
            tell(format!("close {}", context.span(&id).expect("it is there").name()));
        }
    }
}

fn install(of_spans: bool) {
    let filter = tracing_subscriber::filter::LevelFilter::DEBUG;
    tracing_subscriber::registry().with(Tells { of_spans }.with_filter(filter)).init();
}

fn work(n: u32) {
    let outer = tracing::info_span!(target: "app", "outer", n, late = tracing::field::Empty);
    let _in = outer.enter();
    tracing::info!(target: "app", answer = 42, who = "x", "in outer {n}");
    outer.record("late", 7);
    tracing::debug_span!(target: "app", "inner", part = ?Some(1)).in_scope(|| {
        tracing::warn!(target: "app::deep", "in both");
        tracing::error!(target: "app", parent: None, "in none");
    });
    tracing::info!(target: "app", parent: &outer, "last");
}

fn scopes(method: StartMethod) -> Outcome {
    install(false);
    let pool = builder(method, 1).capture_logs("app").build()?;
    pool.apply(3u32, work)?;
    flushed(&pool)?;
    assert_eq!(
        told(),
        [
            "outer n=3: INFO app message=in outer 3 answer=42 who=\"x\"",
            "outer n=3 late=7: inner part=Some(1): WARN app::deep message=in both",
            "ERROR app message=in none",
            "outer n=3 late=7: INFO app message=last",
        ]
    );
    Ok(())
}

fn lives(method: StartMethod) -> Outcome {
    install(true);
    let pool = builder(method, 1).capture_logs(["a"]).build()?;
    pool.apply((), |()| {
        let span = tracing::info_span!(target: "a", "one", x = 1);
        let other = span.clone();
        span.in_scope(|| ());
        drop(span);
        other.in_scope(|| tracing::info_span!(target: "a", "two").in_scope(|| ()));
    })?;
    flushed(&pool)?;
    let expected = ["new one x=1", "enter one", "exit one", "enter one", "new two", "enter two"];
    let rest = ["exit two", "close two", "exit one", "close one"];
    assert_eq!(told(), [&expected[..], &rest].concat());
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    install(true);
    let pool = builder(method, 1).capture_logs(["a"]).build()?;
    let _ = pool.apply((), |()| {
        let span = tracing::info_span!(target: "a", "outer");
        let _outer = span.enter();
        let inner = tracing::info_span!(target: "a", "inner");
        let _inner = inner.enter();
        sys::kill(std::process::id(), sys::SIGKILL);
    });
    pool.apply((), |()| tracing::info!(target: "a", "next"))?;
    flushed(&pool)?;
    let expected = ["new outer", "enter outer", "new inner", "enter inner"];
    let rest = ["exit inner", "close inner", "exit outer", "close outer", "INFO a message=next"];
    assert_eq!(told(), [&expected[..], &rest].concat());
    // The end of the workers closes, too.
    let _ = pool.apply((), |()| std::mem::forget(tracing::info_span!(target: "a", "left")));
    pool.stop_and_join()?;
    drop(pool);
    assert_eq!(told(), ["new left", "close left"]);
    Ok(())
}

fn other_targets(method: StartMethod) -> Outcome {
    install(false);
    let pool = builder(method, 1).capture_logs("a").build()?;
    pool.apply((), |()| {
        tracing::info!(target: "b", "stays");
        tracing::info_span!(target: "b", "b").in_scope(|| {
            tracing::info_span!(target: "a", "a").in_scope(|| {
                tracing::info!(target: "b", "stays");
                tracing::info!(target: "a::x", "comes");
            });
        });
    })?;
    flushed(&pool)?;
    assert_eq!(told(), ["a: INFO a::x message=comes"]);
    Ok(())
}

fn levels(method: StartMethod) -> Outcome {
    install(false);
    let pool = builder(method, 1).capture_logs(LogCapture::all()).build()?;
    let enabled = pool.apply((), |()| {
        let _span = tracing::trace_span!("not").entered();
        tracing::trace!("nor this");
        tracing::debug!(target: "t", "this");
        (tracing::enabled!(Level::DEBUG), tracing::enabled!(Level::TRACE))
    })?;
    flushed(&pool)?;
    assert_eq!((enabled, told()), ((true, false), vec!["DEBUG t message=this".to_string()]));
    Ok(())
}

fn threads_of_tasks(method: StartMethod) -> Outcome {
    install(false);
    let pool = builder(method, 1).capture_logs(LogCapture::all()).build()?;
    pool.apply((), |()| {
        let span = tracing::info_span!(target: "t", "given");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                tracing::info!(target: "t", "plain");
                span.in_scope(|| tracing::info!(target: "t", "in a span"));
            });
        });
    })?;
    flushed(&pool)?;
    let expected = ["INFO t message=plain", "given: INFO t message=in a span"];
    if method == StartMethod::Fork {
        // Other threads have the subscriber that the program has had, as a copy.
        assert_eq!(told(), Vec::<String>::new());
    } else {
        assert_eq!(told(), expected);
    }
    Ok(())
}

fn types(method: StartMethod) -> Outcome {
    /// The types that a visitor was given.
    struct Types;
    struct Names(String);
    impl Visit for Names {
        fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
            self.0.push_str(&format!("{} debug, ", field.name()));
        }
        fn record_u64(&mut self, field: &Field, value: u64) {
            if !["worker", "pid", "time_unix_nanos"].contains(&field.name()) {
                self.0.push_str(&format!("{} u64 {value}, ", field.name()));
            }
        }
        fn record_i64(&mut self, field: &Field, value: i64) {
            self.0.push_str(&format!("{} i64 {value}, ", field.name()));
        }
        fn record_f64(&mut self, field: &Field, value: f64) {
            self.0.push_str(&format!("{} f64 {value}, ", field.name()));
        }
        fn record_bool(&mut self, field: &Field, value: bool) {
            self.0.push_str(&format!("{} bool {value}, ", field.name()));
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.push_str(&format!("{} str {value}, ", field.name()));
        }
    }
    impl<S: Subscriber> Layer<S> for Types {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut names = Names(String::new());
            event.record(&mut names);
            let metadata = event.metadata();
            assert_eq!(metadata.file(), Some(file!()));
            assert_eq!(metadata.module_path(), Some(module_path!()));
            assert!(metadata.line().is_some());
            tell(names.0);
        }
    }
    tracing_subscriber::registry().with(Types).init();
    let pool = builder(method, 1).capture_logs(LogCapture::all()).build()?;
    pool.map(0..3u64, |n| tracing::info!(n, i = -1, f = 0.5, b = true, s = "t", d = ?(1, 2)))?;
    flushed(&pool)?;
    let told = told();
    assert_eq!(told.len(), 3);
    for (n, told) in told.iter().enumerate() {
        assert_eq!(
            *told,
            format!("n u64 {n}, i i64 -1, f f64 0.5, b bool true, s str t, d debug, ")
        );
    }
    Ok(())
}
