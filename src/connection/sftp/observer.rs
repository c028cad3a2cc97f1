use std::sync::{Arc, Mutex};

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
    reports: Reports,
    channel: ChannelNumber,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum Way {
    ToServer,
    ToClient,
}

impl Observer {
    pub(in crate::connection) fn new(reports: Reports, channel: ChannelNumber) -> Arc<Self> {
        Arc::new(Self {
            watch: Mutex::new(Some(Watch::new())),
            reports,
            channel,
        })
    }

    /// Waits only where audit does not keep up with the records.
    pub(in crate::connection) async fn pass(&self, way: Way, bytes: &[u8]) {
        let records = match hold(&self.watch).as_mut() {
            None => return,
            Some(watch) => {
                match way {
                    Way::ToServer => watch.client_sent(bytes),
                    Way::ToClient => watch.server_sent(bytes),
                }
                watch.records()
            }
        };
        self.report(records).await;
    }

    /// Reports what is left when the channel is over, and the totals. The second time there is nothing.
    pub(in crate::connection) async fn finish(&self) {
        let watch = hold(&self.watch).take();
        if let Some(watch) = watch {
            self.report(watch.finish()).await;
        }
    }

    async fn report(&self, records: Vec<Record>) {
        for record in records {
            self.reports.report(record.in_channel(self.channel)).await;
        }
    }
}
