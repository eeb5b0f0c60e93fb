"""Patterns of streams."""

from pathlib import Path

import pytest

import arcly
from arcly._pattern import is_match, require_pattern
from arcly.services.auth import User


@pytest.mark.parametrize("pattern", ["live", "", "live.", "none"])
def test_a_pattern_that_no_stream_can_match_is_refused(pattern: str, tmp_path: Path) -> None:
    """`--record-streams live` recorded nothing, and said nothing."""
    with pytest.raises(arcly.MisuseError, match="matches no stream: names are APP/STREAM, such as"):
        require_pattern(pattern)
    with pytest.raises(arcly.MisuseError, match="matches no stream"):
        arcly.Recorder(str(tmp_path), record=["live/*", pattern])
    with pytest.raises(arcly.MisuseError, match="matches no stream"):
        User("alice", "secret", streams=pattern)


@pytest.mark.parametrize("pattern", ["*", "live/*", "live/cam", "li?e*", "[l]ive*", "live?cam"])
def test_a_pattern_that_some_stream_matches_is_not(pattern: str) -> None:
    require_pattern(pattern)
    assert is_match(arcly.StreamKey("live", "cam"), pattern)
