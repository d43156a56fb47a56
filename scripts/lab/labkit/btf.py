"""A reader of the kernel's own types (BTF): newer kernels have kinds that the host's pahole may not know."""

import struct

from . import LabError

STRUCTS = (4, 5)
# kind -> bytes that follow the 12 of the type, for a number of members
TAIL = {
    1: lambda n: 4, 3: lambda n: 12, 4: lambda n: 12 * n, 5: lambda n: 12 * n, 6: lambda n: 8 * n, 13: lambda n: 8 * n,
    14: lambda n: 4, 15: lambda n: 12 * n, 17: lambda n: 4, 19: lambda n: 12 * n,
}  # fmt: skip


def section(elf, wanted):
    """The bytes of a named section of a 64-bit ELF file; None when it has none."""
    at, size, count, names = struct.unpack_from("<Q10xHHH", elf, 40)
    headers = [struct.unpack_from("<IIQQQQ", elf, at + size * i) for i in range(count)]
    if not headers:
        return None
    base = headers[names][4]
    for name, _, _, _, offset, length in headers:
        start = base + name
        if elf[start : elf.index(b"\0", start)] == wanted:
            return elf[offset : offset + length]
    return None


def layout(data):
    """struct member -> (offset, size 0), anonymous members opened; and (struct, "sizeof")."""
    magic, _, _, head, type_at, type_length, text_at, _ = struct.unpack_from("<HBBIIIII", data)
    if magic != 0xEB9F:
        raise LabError("the kernel's types are not BTF")
    text = data[head + text_at :]
    types, at, end = [None], head + type_at, head + type_at + type_length
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        types.append((kind, name, size, info >> 31, at + 12, count))
        at += 12 + TAIL.get(kind, lambda n: 0)(count)

    def word(offset):
        return text[offset : text.index(b"\0", offset)].decode()

    def members(type_, base, depth=0):
        _, _, _, packed, start, count = type_
        for i in range(count):
            name, target, bits = struct.unpack_from("<III", data, start + 12 * i)
            offset = base + (bits & 0xFFFFFF if packed else bits) // 8
            inner = types[target]
            while inner and inner[0] in (8, 9, 10, 11, 18):  # typedef, volatile, const, restrict, type tag
                inner = types[inner[2]]
            if name:
                yield word(name), offset
            if inner and inner[0] in STRUCTS and depth < 6 and (not name or word(name) in ("flc", "counters")):
                yield from members(inner, offset, depth + 1)

    found = {}
    for type_ in types:
        if type_ and type_[0] == 4 and type_[1]:
            name = word(type_[1])
            if (name, "sizeof") in found:
                continue
            found[name, "sizeof"] = (type_[2], type_[2])
            for member, offset in members(type_, 0):
                found.setdefault((name, member), (offset, 0))
    return found
