//! The process that workers are forked from when what they share is decoded or built once.
//!
//! A child of the zygote, which runs no code of the user: this one does, in a thread that it joins
//! (`zygote/template.rs`), and then forks workers for the zygote, whose children they are. So it
//! may hang or die without harm to anybody but those who wait for a worker.
//! `zygote/template_link.rs` is the zygote's end.

/// What a template says, in front of a number and a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The value is there.
    Ready = 1,
    /// It is not; the text is the encoded failure.
    Failed,
    /// A worker was forked: its process id.
    Started,
    /// It could not be: the error number.
    NotStarted,
}

pub(crate) const HEAD: usize = 8;
/// The text is shorter.
pub(crate) const LONGEST: usize = 128 << 10;
