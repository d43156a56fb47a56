#!/usr/bin/python3
"""A file system with one file, `dump`, some blocks of which cannot be read.

    failing_device.py MOUNTPOINT FILE OFFSET...

The file is FILE; a read that touches the block of 4096 bytes at one of the OFFSETs fails with EIO, as that of a failing
disk does. "ready" is printed once the file is there. Ends when it is unmounted or its input ends.
"""

import errno
import os
import stat
import sys
import threading

try:
    import fusepy as fuse  # Debian's name for it
except ImportError:
    import fuse

BLOCK = 4096


class FailingDevice(fuse.Operations):
    def __init__(self, path, blocks):
        self.file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.file).st_size
        self.blocks = blocks

    def init(self, path):
        print("ready", flush=True)

    def getattr(self, path, handle=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/dump":
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": self.size}
        raise fuse.FuseOSError(errno.ENOENT)

    def readdir(self, path, handle):
        return [".", "..", "dump"]

    def read(self, path, size, offset, handle):
        if any(block < offset + size and offset < block + BLOCK for block in self.blocks):
            raise fuse.FuseOSError(errno.EIO)
        return os.pread(self.file, size, offset)


def main():
    mountpoint, path, *offsets = sys.argv[1:]

    def die_with_the_test():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=die_with_the_test, daemon=True).start()
    blocks = [int(offset) // BLOCK * BLOCK for offset in offsets]
    fuse.FUSE(FailingDevice(path, blocks), mountpoint, foreground=True, nothreads=True, ro=True)


if __name__ == "__main__":
    main()
