//! What a template sends to its zygote.
//!
//! A template is the process that forks workers when the value that they share is decoded or built
//! once. The zygote runs no code of the user; the template, a child of the zygote, does, in a
//! thread that it joins (`zygote/template.rs`). Then it forks workers for the zygote, whose
//! children they are. So a template that hangs or dies holds up only calls that wait for a worker.
//! `zygote/template_link.rs` is the zygote's end.

/// The kind of a template's message, which stands before a number and a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// The template has made the value.
    Ready = 1,
    /// The template could not make the value; the text is the encoded failure.
    Failed,
    /// A worker was forked; the number is its process id.
    Started,
    /// A worker could not be forked; the number is the error number.
    NotStarted,
}

pub(crate) const HEAD: usize = 8;
/// The text is shorter than this.
pub(crate) const LONGEST: usize = 128 << 10;
