#!/usr/bin/python3
"""What drgn says of stacks and of words: the truth that vmcheck's desk is held against (run by scripts/lab/desk-compare).

Arguments: the dump, its vmlinux, how many words of each kind, a seed. One JSON object on standard output.
"""

import json
import random
import sys

import drgn
from drgn.helpers.linux import (
    compound_head,
    cpu_curr,
    for_each_module,
    for_each_online_cpu,
    for_each_slab_cache,
    for_each_task,
    slab_cache_for_each_allocated_object,
    virt_to_page,
)

MAX_FRAMES = 128
ERRORS = range(1, 134)  # the numbers that have a name


def stack_of(prog, task):
    """Frames that are functions of their own, innermost first: [pc, name]; inlined ones have no frame."""
    try:
        trace = prog.stack_trace(task)
    except Exception as error:  # drgn refuses some tasks: an answer as well
        return {"frames": [], "refused": f"{type(error).__name__}: {error}"[:150]}
    frames = []
    for frame in list(trace)[:MAX_FRAMES]:
        if frame.is_inline:
            continue
        try:
            frames.append([hex(frame.pc), frame.name or ""])
        except LookupError:
            frames.append(["0x0", ""])
    return {"frames": frames}


def stacks(prog):
    tasks, cpus = [], []
    for task in for_each_task(prog):
        tasks.append({"pid": task.pid.value_(), "address": hex(task.value_()), "comm": task.comm.string_().decode(errors="replace"), **stack_of(prog, task)})
    for cpu in for_each_online_cpu(prog):
        task = cpu_curr(prog, cpu)
        cpus.append({"cpu": cpu, "address": hex(task.value_()), **stack_of(prog, task)})
    return tasks, cpus


class Words:
    """Words whose kind drgn knows: (value, kind, [names or starts that are right])."""

    def __init__(self, prog, count, seed):
        self.prog, self.count, self.random = prog, count, random.Random(seed)
        self.found = []
        try:
            prog.type("struct slab")
            self.has_slab = True
        except LookupError:  # before 5.17 a slab is its struct page
            self.has_slab = False

    def add(self, kind, items, make):
        """At most count words of a kind, from as many different items as there are."""
        items = list(items)
        self.random.shuffle(items)
        made = 0
        while items and made < self.count:
            before = made
            for item in items:
                word = make(item)
                if word is not None:
                    self.found.append([hex(word[0]), kind, *word[1:]])
                    made += 1
                if made == self.count:
                    break
            if made == before or kind in ("error", "free"):  # the same word again says nothing new
                break

    def symbols(self):
        low, high = (self.prog.symbol(name).address for name in ("_stext", "_etext"))
        data = (self.prog.symbol("_sdata").address, self.prog.symbol("__bss_stop").address)
        named = [s for s in self.prog.symbols() if s.size > 0]
        functions = [s for s in named if s.kind == drgn.SymbolKind.FUNC and low <= s.address < high]
        objects = [s for s in named if s.kind == drgn.SymbolKind.OBJECT and data[0] <= s.address < data[1] and s.binding == drgn.SymbolBinding.GLOBAL]
        inside = lambda s: (s.address + self.random.choice((0, self.random.randrange(s.size))), hex(s.address), s.name)  # noqa: E731
        self.add("text", functions, inside)
        self.add("data", objects, inside)
        starts = (self.prog.symbol("__per_cpu_start").address, self.prog.symbol("__per_cpu_end").address)
        cpus = list(for_each_online_cpu(self.prog))
        offsets = self.prog["__per_cpu_offset"]
        # linked at zero or among the kernel's data, as the version has it
        variables = [s for s in named if s.kind == drgn.SymbolKind.OBJECT and starts[0] <= s.address < starts[1]]

        def of_cpu(symbol):
            cpu = self.random.choice(cpus)
            start = (symbol.address + offsets[cpu].value_()) & (1 << 64) - 1
            return start + self.random.randrange(symbol.size), hex(start), symbol.name

        self.add("per-cpu", variables, of_cpu)

    def objects(self):
        held = []
        for cache in for_each_slab_cache(self.prog):
            name, size = cache.name.string_().decode(errors="replace"), cache.object_size.value_()
            mine = []
            try:
                for at in slab_cache_for_each_allocated_object(cache, "char"):
                    mine.append((at.value_(), name, size))
            except Exception:  # one that it cannot walk; the others will do
                continue
            self.random.shuffle(mine)
            held += mine[: self.count]
        self.random.shuffle(held)
        self.add("object", held, lambda o: (o[0], hex(o[0]), o[1]))
        self.add("inside", [o for o in held if o[2] > 8], lambda o: (o[0] + self.random.randrange(8, o[2]) // 8 * 8, hex(o[0]), o[1]))

    def stacks(self):
        size = self.prog["init_task"].stack.value_() and 16384
        self.add("stack", for_each_task(self.prog), lambda t: (t.stack.value_() + self.random.randrange(size), hex(t.stack.value_()), str(t.pid.value_())))

    def descriptors(self):
        vmemmap = self.prog["vmemmap_base"].value_()
        size = self.prog.type("struct page").size
        frames = self.prog["max_pfn"].value_()
        self.add("descriptor", range(1, frames), lambda pfn: (vmemmap + pfn * size, hex(vmemmap + pfn * size), str(pfn)))

    def modules(self):
        ranges = []
        for module in for_each_module(self.prog):
            name = module.name.string_().decode()
            try:
                text = module.mem[0]
                ranges.append((name, text.base.value_(), text.size.value_()))
            except (AttributeError, LookupError):
                ranges.append((name, module.core_layout.base.value_(), module.core_layout.text_size.value_()))
        self.add("module", [r for r in ranges if r[2]], lambda r: (r[1] + self.random.randrange(r[2]), hex(r[1]), r[0]))

    def free_pointers(self):
        """Words of slab freelists as they are stored, followed from the slab's head by the kernel's own rule."""
        seen, found = set(), []
        for cache in for_each_slab_cache(self.prog):
            try:
                one = next(iter(slab_cache_for_each_allocated_object(cache, "char")), None)
                secret = cache.random.value_()
            except Exception:  # no hardening, or a cache that drgn cannot walk
                continue
            if one is not None:
                self.from_caches_slabs(cache, secret, seen, found)
        self.add("free", found, lambda f: f)

    def from_caches_slabs(self, cache, secret, seen, found):
        kind = self.prog.type("struct slab") if self.has_slab else self.prog.type("struct page")
        for at in slab_cache_for_each_allocated_object(cache, "char"):
            head = compound_head(virt_to_page(at)).value_()
            if head in seen:
                continue
            seen.add(head)
            slot = drgn.Object(self.prog, kind, address=head).freelist.value_()
            for _ in range(512):
                if not slot:
                    break
                slot += cache.offset.value_()
                stored = self.prog.read_u64(slot)
                after = stored ^ secret ^ int.from_bytes(slot.to_bytes(8, "little"), "big")
                found.append((stored, hex(slot), hex(after)))
                slot = after
            if len(found) > 20 * self.count:
                return

    def errors(self):
        self.add("error", ERRORS, lambda number: ((1 << 64) - number, "", str(number)))

    def all(self):
        for part in (self.symbols, self.objects, self.stacks, self.descriptors, self.modules, self.free_pointers, self.errors):
            try:
                part()
            except Exception as error:
                print(f"{part.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
        return self.found


def main():
    prog = drgn.Program()
    prog.set_core_dump(sys.argv[1])
    prog.load_debug_info([sys.argv[2]])
    tasks, cpus = stacks(prog)
    json.dump({"tasks": tasks, "cpus": cpus, "words": Words(prog, int(sys.argv[3]), int(sys.argv[4])).all()}, sys.stdout)


main()
