//! `Arc` and `Rc` as items, and in them.

use std::{rc::Rc, sync::Arc};

use pool_api::{WorkerPool, wire};

wire! {
    struct Row {
        name: String,
        values: Arc<Vec<f64>>,
        //~ message: `Arc<Vec<f64>>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: `Arc` and `Rc` do not cross, since what they share ends at the process: send the value itself
    }

    enum Step {
        Go(u32),
        Share(Rc<String>),
        //~ message: `Rc<String>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: `tasks(items).with(value)` or `builder().shared(value)`
    }
}

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    let values = Arc::new(vec![1.5f64]);
    pool.map([values.clone()], |values| values.len())?;
    //~ message: `Arc<Vec<f64>>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: `Arc` and `Rc` do not cross, since what they share ends at the process: send the value itself
    pool.tasks([(1usize, values.clone())]).map(|(n, values)| values[n])?;
    //~ message: `(usize, Arc<Vec<f64>>)` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: `Arc` and `Rc` do not cross, since what they share ends at the process: send the value itself
    pool.map([1u32], |n| Rc::new(n))?;
    //~ message: `Rc<u32>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    //~ note: `Arc` and `Rc` do not cross, since what they share ends at the process: send the value itself
    //~ also
    let rows = [Row { name: "a".into(), values }];
    pool.tasks(rows).with(1u8).map(|_, row| row.name)?;
    //~ message: `Row` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process
    Ok(())
}
