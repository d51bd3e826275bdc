"""What the store raises, each class with the remedy in its text.

`StoreFull` is about one operation and passes; `StoreFailed` is about the device and lasts until a restart, because an
fsync that failed once says nothing when it succeeds the second time. `InstanceUnreadable` is about one instance: the
disk cannot give its bytes back, which says nothing of the others.
"""


class StoreError(Exception):
    """Base of everything the store raises."""


class StoreFull(StoreError):
    """There is no room for this operation; what is inside can still be forwarded and deleted."""


class StoreFailed(StoreError):
    """The device refused a write or the file is damaged: nothing is acknowledged any more until a restart."""


class StoreDamaged(StoreError):
    """What is on the disk is not a store that this program may write to."""


class StoreTooNew(StoreError):
    """The store was written by a newer edged with a schema that this one does not know."""


class StoreLocked(StoreError):
    """Another process owns this data directory."""


class StoreUnavailable(StoreError):
    """The store cannot be opened or made here: permission, space, or file system."""


class DiskFull(StoreUnavailable):
    """The disk has no room for a store of this size; a smaller one may fit."""


class InstanceGone(StoreError):
    """A chunk of the instance is missing: it was evicted or the store is damaged; the transfer must be cut."""


class InstanceUnreadable(InstanceGone):
    """The disk cannot give bytes of the instance back; the transfer must be cut."""
