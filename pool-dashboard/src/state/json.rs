//! The state of all programs as JSON.

use std::fmt::Write;

use super::{CallState, InsightsState, Outcome, PoolState, Program, WorkerState};

/// What stands beside a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// Its number at this dashboard.
    pub(crate) id: u64,
    /// When its connection ended, in milliseconds since 1970.
    pub(crate) lost: Option<u64>,
    /// Whether calls can be cancelled at this dashboard.
    pub(crate) may_cancel: bool,
}

/// All programs; `now` is milliseconds since 1970.
pub(crate) fn render<'p>(
    now: u64,
    programs: impl IntoIterator<Item = (Header, &'p Program)>,
) -> String {
    let mut json = Json(String::with_capacity(4096));
    json.object(|json| {
        json.number("now", now);
        json.list("programs", programs, |json, (header, program)| {
            json.object(|json| write_program(json, header, program));
        });
    });
    json.0
}

fn write_program(json: &mut Json, header: Header, program: &Program) {
    json.number("id", header.id);
    json.optional("lost", header.lost);
    json.text("name", &program.name);
    json.text("user", &program.user);
    json.text("host", &program.host);
    json.number("pid", program.pid.into());
    json.flag("cancel", header.may_cancel && program.may_cancel && header.lost.is_none());
    json.list("pools", &program.pools, |json, pool| json.object(|json| write_pool(json, pool)));
}

fn write_pool(json: &mut Json, pool: &PoolState) {
    json.number("number", pool.number);
    json.text("method", &pool.method);
    json.flag("closed", pool.is_closed);
    json.number("jobs", pool.jobs.into());
    json.list("workers", &pool.workers, |json, worker| {
        json.object(|json| write_worker(json, worker));
    });
    json.list("calls", &pool.calls, |json, call| json.object(|json| write_call(json, call)));
    if let Some(insights) = &pool.insights {
        json.key("insights");
        json.object(|json| write_insights(json, insights));
    }
}

fn write_worker(json: &mut Json, worker: &WorkerState) {
    json.number("id", worker.id.into());
    json.optional("pid", worker.pid.map(u64::from));
    json.text("stage", &worker.stage);
    json.optional("call", worker.call);
    json.optional("item", worker.item);
    json.optional("since", worker.since);
    json.optional("completed", worker.completed);
    json.number("lives", worker.lives);
    json.optional("cpu", worker.cpu.map(u64::from));
    json.optional("memory", worker.memory_bytes);
}

fn write_call(json: &mut Json, call: &CallState) {
    json.number("number", call.number);
    json.text("function", &call.function);
    json.text("location", &call.location);
    json.text("form", &call.form);
    json.optional("total", call.total);
    json.number("done", call.done);
    json.number("failed", call.failed);
    json.number("began", call.began);
    json.optional("ended", call.ended);
    let outcome = match call.outcome {
        Outcome::Running => "running",
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    json.text("outcome", outcome);
    json.flag("cancel", call.may_cancel);
    json.list("errors", &call.errors, |json, error| {
        json.object(|json| {
            json.text("text", &error.text);
            json.text("backtrace", &error.backtrace);
        });
    });
}

fn write_insights(json: &mut Json, insights: &InsightsState) {
    json.number("completed", insights.completed);
    json.text("note", &insights.note);
    json.list("parts", &insights.parts, |json, part| {
        json.object(|json| {
            json.text("name", &part.name);
            json.float("total", part.total);
            json.float("mean", part.mean);
            json.float("std", part.std);
            json.float("ratio", part.ratio);
        });
    });
    json.list("longest", &insights.longest, |json, longest| {
        json.object(|json| {
            json.float("time", longest.time);
            json.optional("item", longest.item);
            json.text("argument", &longest.argument);
        });
    });
    json.list("workers", &insights.workers, |json, worker| {
        json.object(|json| {
            json.number("id", worker.id.into());
            json.number("completed", worker.completed);
            json.list("times", &worker.times, |json, time| json.write_float(*time));
        });
    });
}

/// Writes JSON. Numbers that JSON or the page cannot hold become `null`.
struct Json(String);

impl Json {
    fn comma(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }

    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.comma();
        self.0.push('{');
        fields(self);
        self.0.push('}');
    }

    fn list<T>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.key(key);
        self.0.push('[');
        values.into_iter().for_each(|value| write(self, value));
        self.0.push(']');
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.write_text(key);
        self.0.push(':');
    }

    fn number(&mut self, key: &str, number: u64) {
        self.optional(key, Some(number));
    }

    fn optional(&mut self, key: &str, number: Option<u64>) {
        // What a double holds exactly.
        let number = number.filter(|number| *number <= 1 << 53);
        self.key(key);
        match number {
            Some(number) => {
                let _ = write!(self.0, "{number}");
            }
            None => self.0.push_str("null"),
        }
    }

    fn float(&mut self, key: &str, number: f64) {
        self.key(key);
        self.write_float(number);
    }

    fn write_float(&mut self, number: f64) {
        self.comma();
        if number.is_finite() {
            let _ = write!(self.0, "{number:.9}");
        } else {
            self.0.push_str("null");
        }
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.0.push_str(if flag { "true" } else { "false" });
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.write_text(text);
    }

    fn write_text(&mut self, text: &str) {
        self.0.push('"');
        for character in text.chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                // Also what would end a line of an event, or be read as a tag.
                '<' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(character));
                }
                _ => self.0.push(character),
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::state::{ErrorState, LongestState, PartState, WorkerTimes};

    pub(crate) fn program() -> Program {
        let worker = WorkerState {
            id: 0,
            pid: Some(7),
            stage: "working".into(),
            call: Some(1),
            item: Some(5),
            since: Some(2),
            completed: None,
            lives: 1,
            cpu: Some(990),
            memory_bytes: Some(4096),
        };
        let call = CallState {
            number: 1,
            function: "squares::<u64>".into(),
            location: "src/main.rs:3:5".into(),
            form: "map".into(),
            total: None,
            done: 2,
            failed: 0,
            began: 1,
            ended: None,
            outcome: Outcome::Running,
            may_cancel: true,
            errors: vec![ErrorState { text: "</script>\"\\\u{1b}\n".into(), backtrace: "".into() }],
        };
        let part =
            PartState { name: "working".into(), total: 1.5, mean: 0.5, std: 0.0, ratio: f64::NAN };
        let insights = InsightsState {
            completed: 3,
            parts: vec![part],
            longest: vec![LongestState { time: 0.25, item: Some(5), argument: "5".into() }],
            workers: vec![WorkerTimes { id: 0, completed: 3, times: vec![1.0, 2.0] }],
            note: String::new(),
        };
        let pool = PoolState {
            number: u64::MAX,
            method: "fork".into(),
            is_closed: false,
            jobs: 1,
            workers: vec![worker],
            calls: vec![call],
            insights: Some(insights),
        };
        let name = "a \u{2028} program".into();
        Program {
            name,
            user: "u".into(),
            host: "h".into(),
            pid: 1,
            may_cancel: true,
            pools: vec![pool],
        }
    }

    #[test]
    fn texts_are_escaped_and_numbers_are_such_as_the_page_can_hold() {
        let one = program();
        let json = render(
            9,
            [
                (Header { id: 0, lost: None, may_cancel: true }, &one),
                (Header { id: 1, lost: Some(8), may_cancel: true }, &one),
            ],
        );
        assert!(
            json.starts_with(
                r#"{"now":9,"programs":[{"id":0,"lost":null,"name":"a \u2028 program""#
            ),
            "{json}"
        );
        assert!(json.contains(r#""text":"\u003c/script>\"\\\u001b\n","backtrace":""}"#), "{json}");
        assert!(json.contains(r#""pools":[{"number":null,"#), "{json}");
        assert!(json.contains(r#""ratio":null}]"#), "{json}");
        assert!(json.contains(r#""times":[1.000000000,2.000000000]"#), "{json}");
        assert!(json.contains(r#""cancel":true"#) && json.contains(r#""cancel":false"#), "{json}");
        assert!(json.contains(r#"},{"id":1,"lost":8,"#), "{json}");
        assert!(!json.contains('\n') && !json.contains('<'));
    }
}
