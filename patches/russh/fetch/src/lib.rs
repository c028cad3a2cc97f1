//! Empty: a package needs a target, and this one exists for its lock file.
