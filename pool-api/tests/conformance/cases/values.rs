//! Values of every kind come back as a serial run gives them, in order.

use std::fmt::Debug;

use pool_api::{Call, StartMethod, Wire, wire};

use crate::case::{Case, Outcome, pool, sized};

pub(crate) const CASES: &[Case] = &[
    Case::new("u64_by_workers_and_chunks", numbers),
    Case::new("strings", strings),
    Case::new("nested_structs", nested),
    Case::new("vectors_of_one_mebibyte", vectors),
    Case::new("results_and_options", wrapped),
    Case::new("zero_sized_values", nothing),
];

wire! {
    #[derive(Debug, Clone, PartialEq)]
    struct Point { x: f64, y: f64 }

    #[derive(Debug, Clone, PartialEq)]
    enum Shape { Dot(Point), Line { from: Point, to: Point }, Path(Vec<Point>), Nothing }

    #[derive(Debug, Clone, PartialEq)]
    struct Drawing { name: String, layers: Vec<(u8, Shape)>, note: Option<Box<Point>>, id: [u16; 5] }
}

fn drawing(n: u64) -> Drawing {
    let at = |k: u64| Point { x: k as f64 / 3.0, y: -(k as f64) };
    let shape = |k: u64| match k % 4 {
        0 => Shape::Dot(at(k)),
        1 => Shape::Line { from: at(k), to: at(k + 1) },
        2 => Shape::Path((0..k % 7).map(at).collect()),
        _ => Shape::Nothing,
    };
    Drawing {
        name: format!("drawing {n}"),
        layers: (0..n % 9).map(|k| (k as u8, shape(n + k))).collect(),
        note: n.is_multiple_of(3).then(|| Box::new(at(n))),
        id: [n as u16; 5],
    }
}

fn mix(x: u64) -> u64 {
    (x ^ 0x9e37_79b9).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(17)
}

fn numbers(method: StartMethod) -> Outcome {
    let items = sized(1_000_000, 20_000) as u64;
    let serial: Vec<u64> = (0..items).map(mix).collect();
    for workers in [1, 2, 3, 16, 64] {
        let pool = pool(method, workers)?;
        for chunk_size in [Some(1), Some(7), None] {
            let mut tasks = pool.tasks(0..items);
            if let Some(size) = chunk_size {
                tasks = tasks.chunk_size(size);
            }
            let values = tasks.map(mix)?;
            assert!(values == serial, "{workers} workers, chunks of {chunk_size:?}");
        }
    }
    Ok(())
}

/// Every method gets these items, by chunks of 1, of 7 and by default, with 1 and 3 workers.
fn agree<A, R>(method: StartMethod, items: Vec<A>, f: fn(A) -> R) -> Outcome
where
    A: Wire + Clone,
    R: Wire + Debug + PartialEq,
{
    let serial: Vec<R> = items.iter().cloned().map(f).collect();
    for workers in [1, 3] {
        let pool = pool(method, workers)?;
        let by = |set: fn(Call<'_, std::vec::IntoIter<A>>) -> Call<'_, std::vec::IntoIter<A>>| {
            let values = set(pool.tasks(items.clone())).map(f);
            values.map(|values| assert!(values == serial, "with {workers} workers"))
        };
        by(|tasks| tasks)?;
        by(|tasks| tasks.chunk_size(1))?;
        by(|tasks| tasks.chunk_size(7))?;
    }
    Ok(())
}

fn strings(method: StartMethod) -> Outcome {
    let texts = (0..5000).map(|n| "äß→".repeat(n % 50) + &n.to_string()).collect();
    agree(method, texts, |text: String| text.chars().rev().collect::<String>())
}

fn nested(method: StartMethod) -> Outcome {
    agree(method, (0..3000).map(drawing).collect(), |mut drawing| {
        drawing.layers.reverse();
        drawing.name.push('!');
        drawing
    })
}

fn vectors(method: StartMethod) -> Outcome {
    let len = (1 << 20) / size_of::<f64>();
    let items = (0..sized(64, 10)).map(|n| (0..len).map(|k| (n * k) as f64).collect()).collect();
    agree(method, items, |mut numbers: Vec<f64>| {
        numbers.iter_mut().for_each(|x| *x = x.sqrt());
        numbers
    })
}

fn wrapped(method: StartMethod) -> Outcome {
    let parse = |text: String| -> Result<i64, String> {
        text.parse().map_err(|error| format!("{text}: {error}"))
    };
    let texts = (0..2000).map(|n| if n % 3 == 0 { format!("x{n}") } else { n.to_string() });
    agree(method, texts.collect(), parse)?;
    let halves = (0..2000).map(|n| (n % 4 != 0).then_some(n)).collect();
    agree(method, halves, |n: Option<u32>| n.filter(|n| n % 2 == 0).map(|n| n / 2))?;
    let both: Vec<Result<Option<String>, u8>> =
        vec![Ok(None), Ok(Some("a".into())), Err(3), Ok(Some(String::new()))];
    agree(method, both, |value| value)
}

fn nothing(method: StartMethod) -> Outcome {
    agree(method, vec![(); 10_000], |()| ())?;
    agree(method, vec![[0u64; 0]; 100], |array| array)?;
    agree(method, vec![String::new(); 100], |text| text)
}
