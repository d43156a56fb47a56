"""Every word of a dump that leads to an object, found by a search over the bytes of the file: what `vmcheck refs` is held against.

For kernels that no peer can open. The dump is an ELF file whose segments lie in it as they are in memory.
"""

import json
import mmap
import random
import struct

from . import LabError
from .desk import asked, number, pages_of

SAMPLED = 800  # words that are looked at for ten that are the start of an object
OBJECTS = 10
KERNEL = 0xFFFF8000_00000000
LOAD = 1


class Segments:
    """The memory in an ELF file: (physical address, offset in the file, bytes) of each piece."""

    def __init__(self, file):
        self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self.bytes[:6] != b"\x7fELF\x02\x01":
            raise LabError("no ELF file of 64 bits: plain references need one")
        start, size, count = *struct.unpack_from("<Q", self.bytes, 32), *struct.unpack_from("<HH", self.bytes, 54)
        self.pieces = []
        for i in range(count):
            kind, _, offset, _, physical, length = struct.unpack_from("<IIQQQQ", self.bytes, start + i * size)
            if kind == LOAD and length:
                self.pieces.append((physical, offset, length))

    def words(self, seed):
        """Words from anywhere that may be a kernel's pointer, each once."""
        chance, seen = random.Random(seed), set()
        for _ in range(100 * SAMPLED):
            _, offset, length = max(self.pieces, key=lambda piece: piece[2])
            word = struct.unpack_from("<Q", self.bytes, offset + 8 * chance.randrange(length // 8))[0]
            if word >= KERNEL and word % 8 == 0:
                seen.add(word)
                if len(seen) == SAMPLED:
                    break
        return sorted(seen)

    def leading(self, low, high):
        """Physical addresses of the aligned words from low up to high."""
        found = set()
        for part in {value >> 8 for value in (low, high - 1)}:
            ending = part.to_bytes(7, "little")  # all bytes but the lowest: a search for these is as fast as one can be
            for physical, offset, length in self.pieces:
                at = self.bytes.find(ending, offset, offset + length)
                while at >= 0:
                    if (at - 1 - offset) % 8 == 0 and low <= (part << 8) + self.bytes[at - 1] < high:
                        found.add(physical + at - 1 - offset)
                    at = self.bytes.find(ending, at + 1, offset + length)
        return found


def objects_of(vmcheck, dump, words, seed):
    """Ten objects of different caches: (address, size, cache)."""
    text = "".join(f"{word:x}\n" for word in words)
    objects = {}
    for line in asked(vmcheck, "word", dump, "-", "--format", "json", text=text).splitlines():
        answer = json.loads(line)
        place = answer["readings"][0].get("place") or {}
        if place.get("kind") == "slab-object" and number(place["start"]) == number(answer["value"]) and place["size"] <= 256:
            objects.setdefault(place["name"], (number(place["start"]), place["size"], place["name"]))
    chosen = sorted(objects.values())
    random.Random(seed).shuffle(chosen)
    return chosen[:OBJECTS]


def compared(vmcheck, dump, seed):
    """A row an object: (its cache, whether all of it is meant, words that both name, those vmcheck alone names, those the search alone names by what the page is)."""
    rows = []
    with open(dump, "rb") as file:
        segments = Segments(file)
        for i, (start, size, cache) in enumerate(objects_of(vmcheck, dump, segments.words(seed), seed)):
            whole = i % 2 == 0
            plain = segments.leading(start, start + size if whole else start + 1)
            answer = json.loads(asked(vmcheck, "refs", dump, hex(start), *([] if whole else ["--exact"]), "--format", "json"))
            own = {number(holder["physical"]) for holder in answer["holders"]}
            rows.append((cache, whole, len(own & plain), sorted(own - plain), pages_of(vmcheck, dump, sorted(plain - own))))
    return rows
