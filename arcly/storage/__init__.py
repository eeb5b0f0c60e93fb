"""Where finished things are kept: `FileStorage` and `MemoryStorage`, both of the contract `StorageBackend`."""

from arcly.storage.files import FileStorage
from arcly.storage.key import check_key
from arcly.storage.memory import MemoryStorage

__all__ = ["FileStorage", "MemoryStorage", "check_key"]
