//! Linux capabilities: capabilities(7).

use caps::{CapSet, CapsHashSet};
use nix::errno::Errno;

use super::errno;

pub use caps::Capability;

/// Keeps `keep` in the permitted and effective sets and in the bounding set; empties the rest.
///
/// # Errors
/// EPERM where the bounding set cannot be narrowed (no CAP_SETPCAP).
pub fn keep(keep: &[Capability]) -> nix::Result<()> {
    narrow_bounding(keep)?;
    rustix::thread::clear_ambient_capability_set().map_err(errno)?;
    let held = caps::read(None, CapSet::Permitted).map_err(|_| Errno::EPERM)?;
    let kept: CapsHashSet = keep
        .iter()
        .copied()
        .filter(|capability| held.contains(capability))
        .collect();
    for (set, value) in [
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
        (CapSet::Inheritable, &CapsHashSet::new()),
    ] {
        caps::set(None, set, value).map_err(|_| Errno::EPERM)?;
    }
    Ok(())
}

/// Whether this process holds `capability` now.
#[must_use]
pub fn held(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Empties the bounding and the ambient set, and locks the securebits so that uid 0 is no way back to any capability.
/// A change of uid no longer changes the capability sets after this: [`clear`] them.
///
/// # Errors
/// EPERM without CAP_SETPCAP in the current user namespace.
pub fn lock() -> nix::Result<()> {
    use rustix::thread::CapabilitiesSecureBits as Bits;
    narrow_bounding(&[])?;
    rustix::thread::clear_ambient_capability_set().map_err(errno)?;
    let bits = Bits::NO_ROOT
        | Bits::NO_ROOT_LOCKED
        | Bits::NO_SETUID_FIXUP
        | Bits::NO_SETUID_FIXUP_LOCKED
        | Bits::NO_CAP_AMBIENT_RAISE
        | Bits::NO_CAP_AMBIENT_RAISE_LOCKED
        | Bits::KEEP_CAPS_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).map_err(errno)
}

/// Empties the effective, permitted and inheritable sets.
///
/// # Errors
/// None: less is always allowed.
pub fn clear() -> nix::Result<()> {
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|_| Errno::EPERM)?;
    }
    Ok(())
}

/// Numbers are tried until the kernel knows no higher one: it may be newer than any list.
fn narrow_bounding(keep: &[Capability]) -> nix::Result<()> {
    for number in 0u8..64 {
        if keep.iter().any(|capability| capability.index() == number) {
            continue;
        }
        match drop_bounding(number) {
            Ok(()) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn drop_bounding(number: u8) -> nix::Result<()> {
    // SAFETY: takes integers only; prctl(2) PR_CAPBSET_DROP.
    let result =
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
    Errno::result(result).map(drop)
}
