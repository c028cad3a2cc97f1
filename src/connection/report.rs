use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::ending::{End, Ending};
use super::links::{AsyncLink, Slot};
use super::session::Progress;
use crate::wire::{AuditToPeer, Link, LinkError, Record, ReportToAudit, encode};

/// audit's links as the warden renews them.
pub(super) type AuditLink = Link<ReportToAudit, AuditToPeer>;

/// What may wait for audit (docs/architecture.md); when it is used up, whoever reports waits.
const QUEUE_BYTES: usize = 256 * 1024;
/// The same in records: none is smaller than this says.
const QUEUE_RECORDS: usize = 4096;
/// How long audit may be away or stand still before the connection ends.
const PATIENCE: Duration = Duration::from_secs(10);

type Queued = (ReportToAudit, OwnedSemaphorePermit);

/// Where what happens is reported to.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    finished: Arc<Notify>,
    ending: Ending,
}

/// The other end of [`Reports`]: sends to audit.
#[derive(Debug)]
pub(super) struct Reporter {
    queue: mpsc::Receiver<Queued>,
    link: AsyncLink<ReportToAudit, AuditToPeer>,
    renewed: Slot<AuditLink>,
    session: watch::Receiver<Progress>,
    finished: Arc<Notify>,
    ending: Ending,
}

/// Makes both ends. `session` tells when there is a session that records of channels can belong to.
pub(super) fn queue(
    link: AuditLink,
    renewed: Slot<AuditLink>,
    session: watch::Receiver<Progress>,
    ending: &Ending,
) -> Result<(Reports, Reporter), LinkError> {
    let (sender, receiver) = mpsc::channel(QUEUE_RECORDS);
    let finished = Arc::new(Notify::new());
    let reports = Reports {
        queue: sender,
        finished: Arc::clone(&finished),
        room: Arc::new(Semaphore::new(QUEUE_BYTES)),
        ending: ending.clone(),
    };
    let reporter = Reporter {
        queue: receiver,
        link: AsyncLink::new(link)?,
        renewed,
        session,
        finished,
        ending: ending.clone(),
    };
    Ok((reports, reporter))
}

impl Reports {
    /// Reports `record`, waiting where audit does not keep up; when it does not for long, the connection ends.
    pub(super) async fn report(&self, record: Record) {
        let report = ReportToAudit {
            record,
            receipt: None,
        };
        let Ok(bytes) = encode(&report) else {
            tracing::error!(
                "a record is too long for its link: {}",
                report.record.event.kind()
            );
            return;
        };
        let room = u32::try_from(bytes.len().min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let queued = timeout(PATIENCE, async {
            let permit = Arc::clone(&self.room).acquire_many_owned(room).await.ok()?;
            self.queue.send((report, permit)).await.ok()
        });
        if !matches!(queued.await, Ok(Some(()))) {
            self.ending.end(End::Audit);
        }
    }

    /// Nothing more will be reported: what is in the queue is the rest.
    pub(super) fn finish(&self) {
        self.finished.notify_one();
    }
}

impl Reporter {
    /// Sends until all is sent and nothing more will be reported.
    pub(super) async fn run(mut self) {
        while let Some((report, _permit)) = self.next().await {
            if report.record.channel.is_some() {
                self.session_known().await;
            }
            if let Some(link) = self.renewed.take() {
                self.take(link);
            }
            while !self.send(&report).await {
                match timeout(PATIENCE, self.renewed.wait()).await {
                    Ok(link) => self.take(link),
                    Err(_) => {
                        self.ending.end(End::Audit);
                        return;
                    }
                }
            }
        }
    }

    /// Until the session is on record, or will never be: before that, audit does not know whose a channel is.
    async fn session_known(&mut self) {
        tokio::select! {
            _ = self.session.wait_for(|progress| !matches!(progress, Progress::Pending)) => {}
            _ = self.ending.wait() => {}
        }
    }

    async fn next(&mut self) -> Option<Queued> {
        tokio::select! {
            biased;
            queued = self.queue.recv() => return queued,
            () = self.finished.notified() => {}
        }
        self.queue.close();
        self.queue.recv().await
    }

    async fn send(&self, report: &ReportToAudit) -> bool {
        match timeout(PATIENCE, self.link.send(report, &[])).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => false,
            Err(_) => {
                self.ending.end(End::Audit);
                false
            }
        }
    }

    fn take(&mut self, link: AuditLink) {
        match AsyncLink::new(link) {
            Ok(link) => self.link = link,
            Err(error) => tracing::warn!("the new link to audit cannot be used: {error}"),
        }
    }
}

/// How often something that a peer can cause at will is recorded or passed on.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    second: Instant,
    used: u32,
}

impl Rate {
    pub(super) fn per_second(per_second: u32) -> Self {
        Self {
            per_second,
            second: Instant::now(),
            used: 0,
        }
    }

    /// Whether one more fits into this second.
    #[must_use]
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.used = 0;
        }
        let fits = self.used < self.per_second;
        self.used += u32::from(fits);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Event;

    fn record(n: u64) -> Record {
        Record::new(Event::LimitHit {
            resource: "x".repeat(1000),
            limit: n,
        })
    }

    #[tokio::test]
    async fn records_wait_for_a_restarted_audit_in_order() {
        let (link, far) = Link::pair().unwrap();
        let renewed = Slot::new();
        let (reports, reporter) = queue(
            link,
            renewed.clone(),
            watch::Sender::new(Progress::Pending).subscribe(),
            &Ending::new(),
        )
        .unwrap();
        let task = tokio::spawn(reporter.run());
        drop(far);
        for n in 0..3 {
            reports.report(record(n)).await;
        }
        let (link, far) = Link::<AuditToPeer, ReportToAudit>::pair().unwrap();
        renewed.put(far);
        drop(reports);
        task.await.unwrap();
        for n in 0..3 {
            assert_eq!(link.recv().unwrap().record, record(n));
        }
    }

    #[tokio::test]
    async fn an_audit_that_takes_nothing_ends_the_connection() {
        let (link, _far) = Link::pair().unwrap();
        let ending = Ending::new();
        let (reports, reporter) = queue(
            link,
            Slot::new(),
            watch::Sender::new(Progress::Pending).subscribe(),
            &ending,
        )
        .unwrap();
        drop(reporter);
        reports.report(record(0)).await;
        assert_eq!(ending.wait().await, End::Audit);
    }

    #[test]
    fn a_rate_admits_so_many_a_second() {
        let now = Instant::now();
        let mut rate = Rate::per_second(2);
        let admitted = [0, 1, 2, 1500].map(|ms| rate.admits(now + Duration::from_millis(ms)));
        assert_eq!(admitted, [true, true, false, true]);
    }
}
