import pickle

import pytest

import arcly


def test_a_key_prints_compares_hashes_and_pickles() -> None:
    key = arcly.StreamKey("live/eu", "cam")
    assert (str(key), key.app, key.stream) == ("live/eu/cam", "live/eu", "cam")
    assert key == arcly.StreamKey.parse("live/eu/cam") == pickle.loads(pickle.dumps(key))
    assert {key: 1}[arcly.StreamKey.parse("live/eu/cam")] == 1
    assert sorted([key, arcly.StreamKey("a", "z")])[0].app == "a"


@pytest.mark.parametrize("name", ["", "cam", "/cam", "live/", "live/../x", "live/a b", "live/a%2fb", "live/<b>"])
def test_bad_names_are_malformed(name: str) -> None:
    with pytest.raises(arcly.MalformedError, match="name"):
        arcly.StreamKey.parse(name)
