//! The steps of a checkpoint at which a test has the process die, as by a loss of power.
//!
//! `MILLSTREAM_FAILPOINT=STEP[@NODE][:N]` ends the process when it comes to this step (of this node) for the Nth time. That is so
//! only with the feature `failpoints`, which nothing but the tests of the command turns on: otherwise nothing of it is compiled.

/// Where a process can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A barrier has come to an operator.
    BeforeSnapshot,
    /// An operator has written down its state.
    AfterSnapshot,
    /// A barrier has come to a sink.
    BeforePrepare,
    /// A sink can lose nothing of what came before the barrier.
    AfterPrepare,
    /// The state of a subtask is about to be written to the store.
    BeforePart,
    /// It is written.
    AfterPart,
    /// All parts are written, and the manifest is not.
    BeforeManifest,
    /// The checkpoint exists, and nobody knows yet.
    AfterManifest,
    /// A sink is to make visible what the checkpoint covers.
    BeforeCommit,
    /// It has.
    AfterCommit,
    /// A checkpoint that is not needed any more is about to be removed.
    BeforeRemoval,
    /// It is removed.
    AfterRemoval,
}

impl Step {
    /// All steps, in the order in which a checkpoint comes to them.
    pub const ALL: [Step; 12] = [
        Step::BeforeSnapshot,
        Step::AfterSnapshot,
        Step::BeforePrepare,
        Step::AfterPrepare,
        Step::BeforePart,
        Step::AfterPart,
        Step::BeforeManifest,
        Step::AfterManifest,
        Step::BeforeCommit,
        Step::AfterCommit,
        Step::BeforeRemoval,
        Step::AfterRemoval,
    ];

    /// What it is called in `MILLSTREAM_FAILPOINT`.
    pub fn name(self) -> &'static str {
        match self {
            Step::BeforeSnapshot => "before-snapshot",
            Step::AfterSnapshot => "after-snapshot",
            Step::BeforePrepare => "before-prepare",
            Step::AfterPrepare => "after-prepare",
            Step::BeforePart => "before-part",
            Step::AfterPart => "after-part",
            Step::BeforeManifest => "before-manifest",
            Step::AfterManifest => "after-manifest",
            Step::BeforeCommit => "before-commit",
            Step::AfterCommit => "after-commit",
            Step::BeforeRemoval => "before-removal",
            Step::AfterRemoval => "after-removal",
        }
    }
}

/// Notes that the process has come to a step, of a node where it has one; it may be its last.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn reached(_step: Step, _node: &str) {}

/// Notes that the process has come to a step, of a node where it has one; it may be its last.
#[cfg(feature = "failpoints")]
pub fn reached(step: Step, node: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: LazyLock<Option<Wanted>> = LazyLock::new(|| Wanted::parse(&std::env::var("MILLSTREAM_FAILPOINT").ok()?));
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let Some(wanted) = WANTED.as_ref() else { return };
    if wanted.step == step
        && wanted.node.as_ref().is_none_or(|wanted| wanted == node)
        && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == wanted.times
    {
        std::process::abort();
    }
}

/// What a test wants.
#[cfg(any(feature = "failpoints", test))]
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    step: Step,
    node: Option<String>,
    times: u64,
}

#[cfg(any(feature = "failpoints", test))]
impl Wanted {
    /// From `STEP[@NODE][:N]`.
    fn parse(text: &str) -> Option<Wanted> {
        let (text, times) = text.split_once(':').map_or((text, Some(1)), |(text, times)| (text, times.parse().ok()));
        let (name, node) = text.split_once('@').map_or((text, None), |(name, node)| (name, Some(node.to_owned())));
        Some(Wanted { step: Step::ALL.into_iter().find(|step| step.name() == name)?, node, times: times? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_one_name_and_is_found_by_it() {
        for step in Step::ALL {
            assert_eq!(Wanted::parse(step.name()), Some(Wanted { step, node: None, times: 1 }));
            let text = format!("{}@out:3", step.name());
            assert_eq!(Wanted::parse(&text), Some(Wanted { step, node: Some("out".to_owned()), times: 3 }));
        }
        assert_eq!(Wanted::parse("never"), None);
        assert_eq!(Wanted::parse("before-part:x"), None);
    }
}
