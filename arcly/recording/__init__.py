"""Recordings: streams in files, an index of them, and playing them back.

    recorder = arcly.Recorder("/srv/recordings", record=["live/*"], keep_s=7 * 86_400)
    async with arcly.Engine(arcly.RtmpHandler(), recorder) as engine:
        ...

- `settings`: how it is recorded, and for how long it is kept.
- `recorder`: which streams are recorded, when. `directory`: where, held by one process.
- `take`: one recording, from its first to its last file, over every return of its publisher.
- `index`: what there is, in SQLite.
- `mend`: what a recorder left behind that died.
- `retention`: what is deleted. `upload`: what is put into a storage backend.
- `playback`: files on their way to players.
"""

from arcly.recording.index import RecordedSegment, RecordingInfo
from arcly.recording.recorder import Recorder
from arcly.recording.settings import RecordSettings

__all__ = ["RecordSettings", "RecordedSegment", "Recorder", "RecordingInfo"]
