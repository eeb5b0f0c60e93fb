"""Where finished things are kept: `FileStorage`, `MemoryStorage`, `S3Storage`, of the contract `StorageBackend`."""

from arcly.storage.files import FileStorage
from arcly.storage.key import check_key
from arcly.storage.memory import MemoryStorage
from arcly.storage.s3 import S3Storage
from arcly.storage.url import open_storage

__all__ = ["FileStorage", "MemoryStorage", "S3Storage", "check_key", "open_storage"]
