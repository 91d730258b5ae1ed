//! Calls over many items of which the caller takes the results later, all together.

use pool_core::{AsyncResult, FromItem, JobOptions, Refused, Shape, Shaped, move_with_room};
use pool_ipc::Wire;

use super::Call;
use crate::Result;

/// A handle on all values of a call, or its items back.
type Handed<A, R> = Result<AsyncResult<Vec<R>>, Refused<Vec<A>>>;

/// The most bytes reserved at once for the items that an input claims to have, which may be any
/// number: unused memory costs nothing, and where it cannot be had, room is made as items come.
const MOST_RESERVED: usize = 256 << 20;

/// The input as far as the call uses it.
fn collect<I: Iterator>(items: I, options: &JobOptions) -> Vec<I::Item> {
    move_with_room!(<I::Item, I>(items => items) => collect_here(items, options))
}

fn collect_here<I: Iterator>(items: I, options: &JobOptions) -> Vec<I::Item> {
    let items = items.take(options.iterable_len.unwrap_or(usize::MAX));
    let mut all = Vec::new();
    let claimed = items.size_hint().0;
    let little = claimed.saturating_mul(size_of::<I::Item>()) <= MOST_RESERVED;
    if little && all.try_reserve_exact(claimed).is_ok() {
        all.extend(items);
        return all;
    }
    // `extend` would believe the claim.
    items.for_each(|item| all.push(item));
    all
}

impl<I: Iterator, S, W, K: FromItem, H> Call<'_, I, S, W, K, H> {
    /// Hands the whole map to the workers and returns; the handle has the values in input order, or
    /// the first failure, which ends the map. All options count.
    ///
    /// The input is read to its end at once, here. After that the map runs whether or not a thread
    /// waits: it shares the workers with other maps and futures, with few of its chunks under way
    /// at a time, so that none of them waits for long behind it. Its callbacks get all values at
    /// once. [`AsyncResult::cancel`] takes back items that have not begun. Beyond 1 024 maps that
    /// have not ended the call works for the pool until there are fewer. The first one starts the
    /// pool's driver thread, called `pool-driver`.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let handle = pool.tasks(0..1000u64).chunk_size(100).map_async(|x| x + 1)?;
    /// handle.callback(|values| println!("{} values", values.len()));
    /// pool.stop_and_join()?;
    /// assert_eq!(handle.get()?[999], 1000);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with all items: invalid options, a pool that cannot be used,
    /// [`Error::ResultsUnread`](crate::Error::ResultsUnread) beyond
    /// [`Builder::max_result_bytes`](crate::Builder::max_result_bytes). The handle reports later
    /// errors, including an item that cannot be encoded.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn map_async<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Handed<I::Item, R>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        let Self { pool, input, shape, options, .. } = self;
        let items = collect(input, &options);
        pool.map_async::<Shaped<K, H, I::Item, R>>(f, shape.into_context(), items, &options)
    }
}
