//! The results as a picture.

use pool_bench::{
    environment::Environment,
    picture::{Class, Font, Layout, Picture},
};

use crate::{
    conductor::{Measured, Results},
    table::is_serial,
};

const LAYOUT: Layout =
    Layout { width: 760.0, left: 120.0, longest: 380.0, bar: 16.0, step: 22.0, font: Font::Normal };

/// The picture as text.
pub(crate) fn draw(all: &[Results], machine: &Environment) -> String {
    let mut picture = Picture::new(LAYOUT);
    for results in all {
        block(&mut picture, results, machine);
    }
    picture.legend(&[
        (Class::Baseline, "one after the other"),
        (Class::Pool, "this pool"),
        (Class::Other, "rayon"),
        (Class::Python, "pools in Python"),
    ]);
    picture.note(&format!(
        "Median seconds, less is better; the share is that of the ideal speed of {} CPUs over the \
         serial run of",
        machine.usable
    ));
    picture.note(&format!(
        "the language; MiB: all processes together. {} CPUs of {}, {}, load before {}",
        machine.usable,
        machine.model,
        machine.date,
        machine.load_before()
    ));
    picture.finish("Times of three benchmarks, serial and by each way of running them in parallel")
}

fn block(picture: &mut Picture, results: &Results, machine: &Environment) {
    picture.title(results.benchmark.title());
    let most = results.measured.iter().map(|measured| measured.seconds).fold(0.0, f64::max);
    for measured in &results.measured {
        let label = label(results, measured, machine);
        picture.bar(&measured.subject, class(measured), measured.seconds / most, &label);
    }
    picture.gap();
}

fn label(results: &Results, measured: &Measured, machine: &Environment) -> String {
    let share = results.efficiency(measured, machine.usable);
    let share = share.map_or(String::new(), |share| format!(" · {:.0} %", share * 100.0));
    format!("{:.2} s{share} · {:.0} MiB", measured.seconds, measured.mebibytes)
}

fn class(measured: &Measured) -> Class {
    match &*measured.subject {
        _ if is_serial(measured) => Class::Baseline,
        _ if measured.is_python => Class::Python,
        "rayon" => Class::Other,
        _ => Class::Pool,
    }
}
