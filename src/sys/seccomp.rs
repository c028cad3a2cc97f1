//! seccomp(2) filters: from rules with names to programs the kernel runs.

use nix::errno::Errno;
use seccompiler::{BpfProgram, TargetArch};

/// Filters to be put in force one after the other; of their verdicts on a call the strictest holds.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<BpfProgram>);

/// Why rules are no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// An unknown call or a bad condition.
    #[error("cannot compile the filter {0}")]
    Compile(String, #[source] seccompiler::Error),
    /// A machine that the compiler does not know.
    #[error("no filter can be made for this architecture")]
    Architecture,
    /// The compiler forgot one.
    #[error("the compiler gave no filter {0}")]
    Missing(String),
}

impl Filters {
    /// Compiles each of `rules`: the JSON of seccompiler's front end, one object of filters by name.
    ///
    /// # Errors
    /// `Compile` names the filter that is wrong.
    pub fn compile(names: &[&str], rules: &str) -> Result<Self, FilterError> {
        let machine =
            TargetArch::try_from(std::env::consts::ARCH).map_err(|_| FilterError::Architecture)?;
        let mut programs = seccompiler::compile_from_json(rules.as_bytes(), machine)
            .map_err(|e| FilterError::Compile(names.join(", "), e))?;
        let take = |name: &&str| {
            programs
                .remove(*name)
                .ok_or_else(|| FilterError::Missing((*name).to_owned()))
        };
        names.iter().map(take).collect::<Result<_, _>>().map(Self)
    }

    /// Puts them in force for this thread and all that it starts. Needs no_new_privs or CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// EACCES without either; EINVAL.
    pub fn apply(&self) -> nix::Result<()> {
        for program in &self.0 {
            seccompiler::apply_filter(program).map_err(|_| Errno::last())?;
        }
        Ok(())
    }
}
