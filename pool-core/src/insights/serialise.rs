//! The times of workers for serde: keys as the fields are called, times in seconds.

use std::time::Duration;

use serde::{
    Serialize, Serializer,
    ser::{SerializeSeq, SerializeStruct},
};

use super::{
    report::{Insights, LongTask},
    task_times::TaskTimes,
};

/// A time, as seconds.
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_secs_f64())
    }
}

/// Times, as lists of seconds.
struct List<'t>(&'t [Duration]);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for time in self.0 {
            list.serialize_element(&Seconds(*time))?;
        }
        list.end()
    }
}

/// Serialises fields, each in its form.
macro_rules! fields {
    ($serializer:ident, $value:ident, $name:literal, $($form:ident $field:ident,)*) => {{
        let count = [$(stringify!($field)),*].len();
        let mut fields = $serializer.serialize_struct($name, count)?;
        $(fields.serialize_field(stringify!($field), &fields!(@$form $value.$field))?;)*
        fields.end()
    }};
    (@seconds $value:ident.$field:ident) => { Seconds($value.$field) };
    (@list $value:ident.$field:ident) => { List(&$value.$field) };
    (@plain $value:ident.$field:ident) => { $value.$field };
}

impl Serialize for Insights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fields!(
            serializer, self, "Insights",
            plain n_completed_tasks,
            list start_up_time,
            list init_time,
            list waiting_time,
            list working_time,
            list exit_time,
            seconds total_start_up_time,
            seconds total_init_time,
            seconds total_waiting_time,
            seconds total_working_time,
            seconds total_exit_time,
            seconds total_time,
            seconds start_up_time_mean,
            seconds start_up_time_std,
            plain start_up_ratio,
            seconds init_time_mean,
            seconds init_time_std,
            plain init_ratio,
            seconds waiting_time_mean,
            seconds waiting_time_std,
            plain waiting_ratio,
            seconds working_time_mean,
            seconds working_time_std,
            plain working_ratio,
            seconds exit_time_mean,
            seconds exit_time_std,
            plain exit_ratio,
            list top_5_max_task_durations,
            plain top_5_max_task_args,
            plain top_5_max_tasks,
            plain lives,
            plain task_times,
            plain sampled_every,
            plain items_left_out,
            plain chunks_left_out,
        )
    }
}

impl Serialize for LongTask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fields!(
            serializer, self, "LongTask",
            seconds duration,
            plain worker,
            plain call,
            plain item,
            plain args,
        )
    }
}

/// The ranges in which there are times: the shortest and the longest of each, and the count.
impl Serialize for TaskTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (from, to, count) in self.ranges() {
            list.serialize_element(&(Seconds(from), Seconds(to), count))?;
        }
        list.end()
    }
}
