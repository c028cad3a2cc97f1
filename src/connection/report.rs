use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::ending::{End, Ending};
use super::links::{AsyncLink, Slot};
use super::recorder::Recorder;
use super::session::Progress;
use crate::wire::{AuditToPeer, Link, LinkError, Record, RecordingPart, ReportToAudit, encode};

/// audit's links as the warden renews them.
pub(super) type AuditLink = Link<ReportToAudit, AuditToPeer>;

/// What may wait for audit (docs/architecture.md); when it is used up, whoever reports waits.
const QUEUE_BYTES: usize = 256 * 1024;
/// The same in records: none is smaller than this says.
const QUEUE_RECORDS: usize = 4096;
/// How long audit may be away or stand still before the connection ends.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Queued {
    report: ReportToAudit,
    in_channel: bool,
    _room: OwnedSemaphorePermit,
}

/// Where what happens is reported to.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    finished: Arc<Notify>,
    ending: Ending,
}

/// The other end of [`Reports`]: sends to audit, records before recordings.
#[derive(Debug)]
pub(super) struct Reporter {
    queue: mpsc::Receiver<Queued>,
    link: AsyncLink<ReportToAudit, AuditToPeer>,
    renewed: Slot<AuditLink>,
    session: watch::Receiver<Progress>,
    finished: Arc<Notify>,
    ending: Ending,
    recorder: Recorder,
    /// Whether the link can be used, as far as is known.
    linked: bool,
}

/// What the reporter does next.
enum Step {
    Record(Option<Queued>),
    Link(AuditLink),
    Heard(Result<AuditToPeer, LinkError>),
    Part(RecordingPart),
    Passed(Result<(), LinkError>),
}

/// Makes both ends. `session` tells when there is a session that records of channels can belong to.
pub(super) fn queue(
    link: AuditLink,
    renewed: Slot<AuditLink>,
    session: watch::Receiver<Progress>,
    ending: &Ending,
    recorder: Recorder,
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
        recorder,
        linked: true,
    };
    Ok((reports, reporter))
}

impl Reports {
    /// Reports `record`, waiting where audit does not keep up; when it does not for long, the connection ends.
    pub(super) async fn report(&self, record: Record) {
        let kind = record.event.kind();
        let in_channel = record.channel.is_some();
        let report = ReportToAudit::Record {
            record,
            receipt: None,
        };
        let Ok(bytes) = encode(&report) else {
            tracing::error!("a record is too long for its link: {kind}");
            return;
        };
        let room = u32::try_from(bytes.len().min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let queued = timeout(PATIENCE, async {
            let permit = Arc::clone(&self.room).acquire_many_owned(room).await.ok()?;
            let queued = Queued {
                report,
                in_channel,
                _room: permit,
            };
            self.queue.send(queued).await.ok()
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
        // What of a recording is on its way. It waits for room without holding up a record.
        let mut part = None;
        loop {
            let pass = async {
                match &part {
                    Some(part) => self.link.send(part, &[]).await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                queued = next(&mut self.queue, &self.finished) => Step::Record(queued),
                link = self.renewed.wait() => Step::Link(link),
                heard = self.link.recv(), if self.linked => {
                    Step::Heard(heard.map(|(message, _)| message))
                }
                passed = pass, if self.linked => Step::Passed(passed),
                next = self.recorder.next(), if self.linked && part.is_none() => Step::Part(next),
            };
            match step {
                Step::Record(None) => break,
                Step::Record(Some(queued)) => {
                    if !self.report(queued).await {
                        return;
                    }
                    if !self.linked {
                        part = None;
                    }
                }
                Step::Link(link) => {
                    part = None;
                    self.take(link);
                }
                Step::Heard(Ok(AuditToPeer::RecordingStopped(number))) => {
                    self.recorder.stop(number);
                }
                Step::Heard(Ok(answer)) => {
                    tracing::error!(?answer, "audit answered what was not asked");
                    self.linked = false;
                }
                Step::Part(next) => part = Some(ReportToAudit::Recording(next)),
                Step::Passed(Ok(())) => part = None,
                // A new link comes, or a record finds that none does.
                Step::Heard(Err(_)) | Step::Passed(Err(_)) => {
                    part = None;
                    self.linked = false;
                }
            }
        }
        let rest = std::iter::from_fn(|| self.recorder.last().map(ReportToAudit::Recording));
        for part in part.into_iter().chain(rest) {
            if !self.linked || !self.send(&part).await {
                return;
            }
        }
    }

    /// Sends a record, to the next audit if this one is gone. False where there is none for too long.
    async fn report(&mut self, queued: Queued) -> bool {
        if queued.in_channel {
            self.session_known().await;
        }
        if let Some(link) = self.renewed.take() {
            self.take(link);
        }
        while !self.send(&queued.report).await {
            match timeout(PATIENCE, self.renewed.wait()).await {
                Ok(link) => self.take(link),
                Err(_) => {
                    self.ending.end(End::Audit);
                    return false;
                }
            }
        }
        true
    }

    /// Until the session is on record, or will never be: before that, audit does not know whose a channel is.
    async fn session_known(&mut self) {
        tokio::select! {
            _ = self.session.wait_for(|progress| !matches!(progress, Progress::Pending)) => {}
            _ = self.ending.wait() => {}
        }
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
            Ok(link) => {
                self.link = link;
                self.linked = true;
                self.recorder.begin_again();
            }
            Err(error) => tracing::warn!("the new link to audit cannot be used: {error}"),
        }
    }
}

/// The next record; none when nothing more will be reported. Nothing is lost if the wait is given up.
async fn next(queue: &mut mpsc::Receiver<Queued>, finished: &Notify) -> Option<Queued> {
    tokio::select! {
        biased;
        queued = queue.recv() => return queued,
        () = finished.notified() => {}
    }
    queue.close();
    queue.recv().await
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
            Recorder::default(),
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
            let ReportToAudit::Record { record: got, .. } = link.recv().unwrap() else {
                panic!("no record");
            };
            assert_eq!(got, record(n));
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
            Recorder::default(),
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
