//! The kernel's random generator.

use nix::errno::Errno;

/// Fills `buffer`; waits until the generator has been seeded, once after the machine's start. getrandom(2).
///
/// # Errors
/// ENOSYS where a filter forbids it.
pub fn fill(buffer: &mut [u8]) -> nix::Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: pointer and length are those of a live slice, of which the kernel writes at most the length.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(got) {
            Ok(got) => done += usize::try_from(got).unwrap_or(0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fillings_differ() {
        let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
        super::fill(&mut a).unwrap();
        super::fill(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
