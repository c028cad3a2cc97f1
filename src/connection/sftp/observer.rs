use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{Mutex as Turn, Notify};

use super::Watch;
use crate::connection::hold;
use crate::connection::report::Reports;
use crate::model::ChannelNumber;
use crate::wire::Record;

/// Shows a channel's two directions to a [`Watch`], and reports what it makes of them.
#[derive(Debug)]
pub(in crate::connection) struct Observer {
    /// None once it is over.
    watch: Mutex<Option<Watch>>,
    /// What was not reported yet. Whoever reports may be given up in the middle, and the next one goes on.
    due: Mutex<VecDeque<Record>>,
    /// Who has it reports: so records stay in their order.
    turn: Turn<()>,
    /// The server has sent something.
    sent: Notify,
    reports: Reports,
    channel: ChannelNumber,
}

/// Nothing more is let through to the server, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) struct Refused(pub(in crate::connection) &'static str);

impl Observer {
    pub(in crate::connection) fn new(reports: Reports, channel: ChannelNumber) -> Arc<Self> {
        Arc::new(Self {
            watch: Mutex::new(Some(Watch::new())),
            due: Mutex::default(),
            turn: Turn::new(()),
            sent: Notify::new(),
            reports,
            channel,
        })
    }

    /// How many of these bytes the server is to be given, at least one. Waits where it has not answered for too long.
    pub(in crate::connection) async fn admit(&self, bytes: &[u8]) -> Result<usize, Refused> {
        loop {
            let (taken, refused) = match hold(&self.watch).as_mut() {
                None => return Err(Refused("the channel is over")),
                Some(watch) => {
                    let taken = watch.client_sends(bytes);
                    hold(&self.due).extend(watch.records());
                    (taken, watch.unreadable())
                }
            };
            self.report().await;
            match (taken, refused) {
                (0, Some(why)) => return Err(Refused(why)),
                (0, None) => self.sent.notified().await,
                (taken, _) => return Ok(taken),
            }
        }
    }

    /// Looks at what the client is about to be given. Waits where audit does not keep up with the records.
    pub(in crate::connection) async fn server_sent(&self, bytes: &[u8]) {
        if let Some(watch) = hold(&self.watch).as_mut() {
            watch.server_sent(bytes);
            hold(&self.due).extend(watch.records());
        }
        self.sent.notify_one();
        self.report().await;
    }

    /// Reports what is left when the channel is over, and the totals. The second time there is nothing.
    pub(in crate::connection) async fn finish(&self) {
        if let Some(watch) = hold(&self.watch).take() {
            hold(&self.due).extend(watch.finish());
        }
        self.report().await;
    }

    async fn report(&self) {
        let next = || hold(&self.due).front().cloned();
        if next().is_none() {
            return;
        }
        let _turn = self.turn.lock().await;
        while let Some(record) = next() {
            self.reports.report(record.in_channel(self.channel)).await;
            hold(&self.due).pop_front();
        }
    }
}
