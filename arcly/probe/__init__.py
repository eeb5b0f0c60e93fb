"""What is in a media file or stream: tracks, GOPs, bit rates, and what is wrong with its timestamps."""

from arcly.probe.report import Fault, GopReport, Report, TrackReport
from arcly.probe.survey import Survey, probe

__all__ = ["Fault", "GopReport", "Report", "Survey", "TrackReport", "probe"]
