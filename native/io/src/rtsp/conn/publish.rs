//! What a connection publishes.

use arcly_wire::rtsp::{Lower, MediaPacket, keys};
use tokio::time::Instant;

use super::{Connection, REPORT_EVERY};
use crate::{
    ended::End,
    faults::ENDED_HERE,
    rtsp::{
        datagrams::{Arrived, Registration},
        to_bus::ToBus,
    },
};

impl Connection {
    pub(super) fn begin_publish(&mut self) -> Result<(), End> {
        // Behind a pause it goes on.
        let Some(publisher) = self.publisher.take() else { return Ok(()) };
        self.listen()?;
        self.report_at = Some(Instant::now() + REPORT_EVERY);
        let setups = self.machine.setups();
        let way = |place| setups.iter().find(|setup| setup.media == place).map(|setup| setup.transport.lower);
        self.publishing = Some(ToBus::new(&self.announced, way, *publisher));
        Ok(())
    }

    /// Hears what the peer sends by UDP, if it does.
    pub(super) fn listen(&mut self) -> Result<(), End> {
        let setups = self.machine.setups();
        let is_udp = setups.iter().any(|setup| setup.transport.lower == Lower::Udp);
        if let Some(ports) = self.udp.as_ref().filter(|_| is_udp && self.datagrams.is_none()) {
            let registration = ports.register(self.peer, setups);
            self.datagrams = Some(registration.ok_or(End::Failed("named ports that another session has".into()))?);
        }
        Ok(())
    }

    pub(super) fn on_packet(&mut self, packet: MediaPacket) -> Result<(), End> {
        let MediaPacket { media, is_rtcp, payload } = packet;
        if self.hear_talk(media, is_rtcp, &payload) {
            return Ok(());
        }
        self.hear_viewer(media, is_rtcp, &payload);
        self.publish(|to_bus| to_bus.packet(media, is_rtcp, payload))
    }

    /// Takes what has come by UDP, a batch at a time.
    pub(super) fn on_datagrams(&mut self, first: Arrived) -> Result<(), End> {
        let (now, mut next) = (self.now(), Some(first));
        while let Some(Arrived { media, is_rtcp, payload }) = next {
            let (is_media, refused) = (!is_rtcp && self.publishing.is_some(), self.refused());
            let is_proved = self.hear_viewer(media, is_rtcp, &payload);
            if !self.hear_talk(media, is_rtcp, &payload) {
                self.publish(|to_bus| to_bus.packet(media, is_rtcp, payload))?;
            }
            if is_proved && self.refused() == refused {
                self.machine.note_datagram(now, is_media);
            }
            next = self.datagrams.as_mut().and_then(Registration::try_next);
        }
        Ok(())
    }

    fn refused(&self) -> u64 {
        self.publishing.as_ref().map_or(0, ToBus::refused)
    }

    /// Tells the publisher how much has come.
    pub(super) fn report(&mut self) {
        self.report_at = self.publishing.is_some().then(|| Instant::now() + REPORT_EVERY);
        let Some(to_bus) = &mut self.publishing else { return };
        let reports = to_bus.reports();
        for (media, mut report) in reports {
            if self.announced.get(media).is_some_and(keys::is_secure) {
                let mut sealed = report.to_vec();
                let outcome = self.report_sealer.as_mut().map(|sealer| sealer.rtcp(&mut sealed, 0));
                let Some(Ok(())) = outcome else { continue };
                report = sealed.into();
            }
            if let Some(datagrams) = &self.datagrams {
                datagrams.answer(media, &report);
            } else {
                self.machine.put_report(media, &report);
            }
        }
    }

    /// Lets the publish do something that may end it.
    pub(super) fn publish(&mut self, work: impl FnOnce(&mut ToBus) -> Result<(), String>) -> Result<(), End> {
        let Some(to_bus) = &mut self.publishing else { return Ok(()) };
        let outcome = work(to_bus);
        for problem in to_bus.problems() {
            self.inbox.warn(format!("{}: {problem}", self.peer));
        }
        outcome.map_err(|reason| {
            self.unpublish(&reason);
            End::Failed(reason)
        })
    }

    /// Ends the publish whose stream was ended by somebody else: RTSP has no word for it but the end of the connection.
    pub(super) fn end_closed(&mut self) -> Result<(), End> {
        let is_closed = self.publishing.as_ref().is_some_and(ToBus::is_closed)
            || self.publisher.as_ref().is_some_and(|publisher| publisher.log().is_closed());
        if !is_closed {
            return Ok(());
        }
        self.unpublish(ENDED_HERE);
        Err(End::Dismissed)
    }

    pub(super) fn unpublish(&mut self, reason: &str) {
        if let Some(publisher) = self.publisher.take() {
            publisher.end(reason.to_owned());
        }
        if let Some(to_bus) = self.publishing.take() {
            to_bus.end(reason.to_owned());
        }
    }
}
