//! What a spare child is told once somebody has logged in. One packet, from the warden alone.

use crate::model::{ConfigAccess, Network};
use crate::sys::Errno;
use crate::sys::mount::Mount;
use crate::sys::packet::PacketSocket;
use std::os::fd::AsFd;

/// What of the outside the session sees.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) network: Network,
    pub(super) access: ConfigAccess,
    /// Home Assistant's folder, to be attached; none where access is absent.
    pub(super) config: Option<Mount>,
}

impl Order {
    /// Gives the order.
    ///
    /// # Errors
    /// EPIPE when the child is gone.
    pub(super) fn send(&self, to: &PacketSocket) -> Result<(), Errno> {
        let network = match self.network {
            Network::Shared => b'n',
            Network::None => b'-',
        };
        let access = match self.access {
            ConfigAccess::ReadWrite => b'w',
            ConfigAccess::ReadOnly => b'r',
            ConfigAccess::Absent => b'-',
        };
        let mount = self.config.as_ref().map(AsFd::as_fd);
        to.send(&[network, access], mount.as_slice())
    }

    /// Waits for the order. None: there will be none.
    ///
    /// # Errors
    /// EPROTO for anything that [`Order::send`] does not write.
    pub(super) fn receive(from: &PacketSocket) -> Result<Option<Self>, Errno> {
        let Some((bytes, mut fds)) = from.recv(2, 1)? else {
            return Ok(None);
        };
        let [network, access] = bytes.as_slice() else {
            return Err(Errno::EPROTO);
        };
        let network = match network {
            b'n' => Network::Shared,
            b'-' => Network::None,
            _ => return Err(Errno::EPROTO),
        };
        let config = fds.pop().map(Mount::from_fd);
        let access = match (access, &config) {
            (b'w', Some(_)) => ConfigAccess::ReadWrite,
            (b'r', Some(_)) => ConfigAccess::ReadOnly,
            (b'-', None) => ConfigAccess::Absent,
            _ => return Err(Errno::EPROTO),
        };
        Ok(Some(Self {
            network,
            access,
            config,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::packet;

    #[test]
    fn an_order_that_does_not_fit_its_mount_is_refused() {
        for (word, mounts, good) in [
            (&b"n-"[..], 0, true),
            (b"--", 0, true),
            (b"nw", 0, false),
            (b"-r", 0, false),
            (b"n-", 1, false),
            (b"nr", 1, true),
            (b"-w", 1, true),
            (b"xw", 1, false),
            (b"nx", 1, false),
            (b"n", 0, false),
        ] {
            let (warden, child) = packet::pair().unwrap();
            let mount = warden.as_fd();
            warden.send(word, &[mount][..mounts]).unwrap();
            assert_eq!(Order::receive(&child).is_ok(), good, "{word:?} {mounts}");
        }
    }

    #[test]
    fn the_end_of_the_warden_is_no_order() {
        let (warden, child) = packet::pair().unwrap();
        drop(warden);
        assert!(Order::receive(&child).unwrap().is_none());
    }
}
