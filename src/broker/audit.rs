use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::link::AsyncLink;
use crate::wire::limits::REPLY;
use crate::wire::{AuditToPeer, LinkError, Record, ReportToAudit};

/// Records on their way to audit. When as many wait, calls wait with them, and fail after [`REPLY`].
const QUEUE: usize = 256;

/// Audit could not take a record, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("audit does not take records")]
pub(super) struct Unrecorded;

/// The way to audit.
#[derive(Clone, Debug)]
pub(super) struct Audit(mpsc::Sender<Entry>);

/// What the tasks of calls hand to the one task that owns the link.
#[derive(Debug)]
enum Entry {
    Report(Record),
    Durable(Record, oneshot::Sender<()>),
    Flush(oneshot::Sender<()>),
}

type AuditLink = AsyncLink<ReportToAudit, AuditToPeer>;

/// Makes the way to audit, and the writer that must run at its other end.
pub(super) fn channel(link: AuditLink) -> (Audit, Writer) {
    let (sender, entries) = mpsc::channel(QUEUE);
    let writer = Writer {
        entries,
        link: Some(link),
        unsent: None,
        waiting: BTreeMap::new(),
        last: 0,
    };
    (Audit(sender), writer)
}

impl Audit {
    /// Hands over a record.
    pub(super) async fn report(&self, record: Record) -> Result<(), Unrecorded> {
        match timeout(REPLY, self.0.send(Entry::Report(record))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unrecorded),
        }
    }

    /// Hands over a record, and waits until it is on the disk.
    pub(super) async fn durable(&self, record: Record) -> Result<(), Unrecorded> {
        let (done, durable) = oneshot::channel();
        let written = async {
            self.0
                .send(Entry::Durable(record, done))
                .await
                .map_err(|_| Unrecorded)?;
            durable.await.map_err(|_| Unrecorded)
        };
        timeout(REPLY, written).await.unwrap_or(Err(Unrecorded))
    }

    /// Waits until all that was handed over is in audit's socket.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.0.send(Entry::Flush(done)).await.is_ok() {
            // An error means that the writer is gone, and everything ends.
            flushed.await.unwrap_or_default();
        }
    }
}

/// Owns the link. While audit is away it keeps the queue and waits for a new link.
#[derive(Debug)]
pub(super) struct Writer {
    entries: mpsc::Receiver<Entry>,
    link: Option<AuditLink>,
    unsent: Option<ReportToAudit>,
    /// Who waits for which receipt. Dropping a sender tells its call that there will be none.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    last: u64,
}

enum Step {
    NewLink(Option<AuditLink>),
    Answer(Result<AuditToPeer, LinkError>),
    Sent(Result<(), LinkError>),
    Entry(Option<Entry>),
}

impl Writer {
    /// Ends when nobody is left who could report, or hand over a link.
    pub(super) async fn run(mut self, mut links: mpsc::Receiver<AuditLink>) {
        loop {
            let step = match &self.link {
                None => Step::NewLink(links.recv().await),
                Some(link) => {
                    let send = async {
                        match &self.unsent {
                            Some(report) => link.send(report).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        biased;
                        new = links.recv() => Step::NewLink(new),
                        answer = link.recv() => Step::Answer(answer.and_then(|(answer, fds)| {
                            let [] = ReportLink::exactly(fds)?;
                            Ok(answer)
                        })),
                        sent = send => Step::Sent(sent),
                        entry = self.entries.recv(), if self.unsent.is_none() => Step::Entry(entry),
                    }
                }
            };
            match step {
                Step::NewLink(None) | Step::Entry(None) => return,
                Step::NewLink(Some(link)) => {
                    // What the old audit did not confirm is not known to be on the disk.
                    self.waiting.clear();
                    self.link = Some(link);
                }
                Step::Answer(Ok(AuditToPeer::Durable(receipt))) => {
                    // Nobody may wait any more: then it was too late, and the call was not made.
                    self.waiting.remove(&receipt).map(|call| call.send(()));
                }
                Step::Answer(Ok(AuditToPeer::Waived(receipt))) => {
                    tracing::warn!(
                        "a call goes on without a record: audit_failure is open for its session"
                    );
                    self.waiting.remove(&receipt).map(|call| call.send(()));
                }
                Step::Answer(Ok(AuditToPeer::Failed(receipt))) => {
                    self.waiting.remove(&receipt);
                }
                Step::Sent(Ok(())) => self.unsent = None,
                // The sender's own fault, and no later attempt would fare better.
                Step::Sent(Err(LinkError::Codec(error))) => {
                    tracing::error!("a record does not fit a packet: {error}");
                    self.unsent = None;
                }
                Step::Answer(Ok(answer @ AuditToPeer::RecordingStopped(_))) => {
                    tracing::error!(?answer, "audit answered what was not asked");
                    self.waiting.clear();
                    self.link = None;
                }
                Step::Answer(Err(error)) | Step::Sent(Err(error)) => {
                    tracing::warn!("audit is away: {error}");
                    self.waiting.clear();
                    self.link = None;
                }
                Step::Entry(Some(entry)) => self.take(entry),
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        let (record, receipt) = match entry {
            Entry::Report(record) => (record, None),
            Entry::Durable(record, call) => {
                self.waiting.retain(|_, call| !call.is_closed());
                self.last += 1;
                self.waiting.insert(self.last, call);
                (record, Some(self.last))
            }
            Entry::Flush(done) => {
                // Nothing is unsent when an entry is taken. Who asked may have gone.
                done.send(()).unwrap_or_default();
                return;
            }
        };
        self.unsent = Some(ReportToAudit::Record { record, receipt });
    }
}

type ReportLink = crate::wire::Link<ReportToAudit, AuditToPeer>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Event, Link};

    type Peer = Link<AuditToPeer, ReportToAudit>;

    fn record(n: u64) -> Record {
        Record::new(Event::LimitHit {
            resource: "test".to_owned(),
            limit: n,
        })
    }

    fn link() -> (AuditLink, Peer) {
        let (ours, peer) = Link::pair().unwrap();
        (AsyncLink::new(ours).unwrap(), peer)
    }

    /// Answers as the real audit does, for `count` records; afterwards its end closes.
    async fn answer(peer: Peer, count: usize, reply: fn(u64) -> AuditToPeer) -> Vec<Record> {
        let work = move || {
            let mut records = Vec::new();
            for _ in 0..count {
                let ReportToAudit::Record { record, receipt } = peer.recv().unwrap() else {
                    panic!("no record");
                };
                if let Some(receipt) = receipt {
                    peer.send(&reply(receipt)).unwrap();
                }
                records.push(record);
            }
            records
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    #[tokio::test]
    async fn a_durable_record_waits_for_its_receipt() {
        let (link, peer) = link();
        let (audit, writer) = channel(link);
        let (_links, receiver) = mpsc::channel(1);
        let work = async {
            audit.report(record(1)).await.unwrap();
            audit.durable(record(2)).await
        };
        let (done, records) = tokio::select! {
            both = async { tokio::join!(work, answer(peer, 2, AuditToPeer::Durable)) } => both,
            () = writer.run(receiver) => unreachable!(),
        };
        assert!(done.is_ok());
        assert_eq!(records, [record(1), record(2)]);
    }

    #[tokio::test]
    async fn a_record_that_could_not_be_written_is_an_error() {
        let (link, peer) = link();
        let (audit, writer) = channel(link);
        let (_links, receiver) = mpsc::channel(1);
        let (done, _) = tokio::select! {
            both = async { tokio::join!(audit.durable(record(1)), answer(peer, 1, AuditToPeer::Failed)) } => both,
            () = writer.run(receiver) => unreachable!(),
        };
        assert!(done.is_err());
    }

    #[tokio::test]
    async fn records_wait_for_the_next_audit() {
        let (old, dead) = link();
        let (audit, writer) = channel(old);
        let (links, receiver) = mpsc::channel(1);
        drop(dead);
        let (new, peer) = link();
        let work = async {
            audit.report(record(1)).await.unwrap();
            tokio::task::yield_now().await;
            links.send(new).await.unwrap();
            audit.flush().await;
            answer(peer, 1, AuditToPeer::Durable).await
        };
        let records = tokio::select! {
            records = work => records,
            () = writer.run(receiver) => unreachable!(),
        };
        assert_eq!(records, [record(1)]);
    }
}
