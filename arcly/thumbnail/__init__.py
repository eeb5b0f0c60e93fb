"""The newest picture of a stream as JPEG, by PyAV: `pip install 'arcly[av]'`.

- `service`: one picture for all who ask, as often as it may be.
- `worker`: a process of its own, which decodes: a decoder that hangs or falls takes nothing with it.
"""

from arcly.thumbnail.service import Thumbnails

__all__ = ["Thumbnails"]
