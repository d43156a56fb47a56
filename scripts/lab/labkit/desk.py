"""What crash and drgn say of stacks, words and references, and whether vmcheck says the same."""

import collections
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import LabError
from .host import cache_dir
from .packages import debug_vmlinux_of
from .peers import HERE, plain, run

WORDS_OF_A_KIND = 1236  # in a healthy dump: eight kinds with as many as that, and the errors that have a name: ten thousand
KERNEL = 1 << 63
WORDS_AMID_DAMAGE = 100  # in a faulty one, whose stacks matter more
TIMEOUT = 900
HEAD = 1 << 20  # of a kdump: its headers and the VMCOREINFO


def number(text):
    return int(str(text), 16)


@contextlib.contextmanager
def named(dump, release):
    """The dump as drgn can open it: QEMU leaves the name of the machine in the header empty, libkdumpfile wants three numbers."""
    full = re.sub(r"^(\d+\.\d+)(?!\.?\d)", r"\1.0", release)
    with plain(dump) as file, tempfile.TemporaryDirectory(dir=cache_dir()) as work:
        copy = pathlib.Path(work) / "dump"
        shutil.copyfile(file, copy)
        with open(copy, "r+b") as stream:
            head = stream.read(HEAD)
            if head.startswith(b"KDUMP   "):
                for i, word in enumerate(("Linux", "lab", full, "#1", "x86_64")):  # struct new_utsname
                    if head[12 + 65 * i] == 0:
                        stream.seek(12 + 65 * i)
                        stream.write(word.encode() + b"\0")
                line = b"OSRELEASE=" + release.encode()
                if full != release and (at := head.find(line + b"\n")) >= 0:
                    stream.seek(at)
                    stream.write(f"OSRELEASE={full}".encode()[: len(line)])
        yield copy


def debug_info(release, fetch):
    vmlinux = debug_vmlinux_of(release, fetch)
    if not vmlinux:
        raise LabError(f"the debug info of {release} is not here")
    return vmlinux


def asked_of_drgn(drgn, dump, release, seed, count=WORDS_OF_A_KIND, fetch=True):
    vmlinux = debug_info(release, fetch)
    with named(dump, release) as file:
        argv = drgn.argv(HERE / "labkit/drgn_desk.py", file, vmlinux, count, seed)
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise LabError(f"drgn: {done.stderr.strip().splitlines()[-1][:150]}")
    return json.loads(done.stdout), done.stderr.strip()


# ---- stacks


def crash_stacks(crash, dump, release, fetch=True):
    """Task -> the addresses of its frames, innermost first, of every task and of the tasks on CPUs."""
    vmlinux = debug_info(release, fetch)
    with plain(dump) as file:
        text = run(crash.argv("-s", vmlinux, file), TIMEOUT, "bt -a\nforeach bt\n")[1]
    stacks, frames, exception = {}, None, False
    for line in text.splitlines():
        if head := re.match(r"PID: (\d+)\s+TASK: ([0-9a-f]+)", line):
            frames = stacks.setdefault(number(head[2]), [])
            if frames:  # `foreach bt` again, of a task that `bt -a` had: the first counts
                frames = []
            exception = False
        elif frames is None:
            continue
        elif "[exception RIP:" in line:
            exception = True
        elif exception and (at := re.match(r"\s+RIP: ([0-9a-f]{16})", line)):
            frames.append(number(at[1]))
            exception = False
        elif at := re.match(r"\s*#\d+ \[[0-9a-f]+\] (\S+).* at ([0-9a-f]+)", line):
            frames.append(number(at[2]))
    if not stacks:
        raise LabError(f"crash: {' '.join(text.split())[-150:] or 'it said nothing'}")
    return stacks


def drgn_stacks(answer):
    """The same of drgn; it goes on behind the user's registers, where no frame is the kernel's."""
    stacks = {}
    for task in (*answer["cpus"], *answer["tasks"]):
        frames = []
        for pc, _ in task["frames"]:
            if number(pc) < KERNEL:
                break
            frames.append(number(pc))
        if not task.get("refused"):
            stacks.setdefault(number(task["address"]), frames)
    return stacks


def vmcheck_stacks(vmcheck, dump):
    text = asked(vmcheck, "bt", dump, "--all", "--format", "json")
    own = {}
    for trace in json.loads(text) + json.loads(asked(vmcheck, "bt", dump, "--cpus", "--format", "json")):
        frames = [number(f["ip"]) for f in trace["frames"] if f["mark"] == "unwound" and number(f["ip"]) >= KERNEL]
        own[number(trace["task"]["address"])] = (trace, frames)
    return own


def asked(vmcheck, *words, text=None):
    done = subprocess.run([*vmcheck.command, *map(str, words)], input=text, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode not in (0, 1, 4, 5):
        raise LabError(f"vmcheck {words[0]}: {done.stderr.strip()[-150:]}")
    return done.stdout


def difference(own, peer):
    """In one word how two lists of frames differ."""
    if own == peer:
        return "same"
    if not peer:
        return "peer has none"
    if len(peer) < len(own):
        if own[: len(peer)] == peer:
            return "peer ends early"
        if own[-len(peer) :] == peer:
            return "peer begins later"
        if in_order(peer, own):
            return "peer leaves out frames"
    elif in_order(own, peer):
        return "peer has more"
    return "other frames"


def in_order(part, whole):
    rest = iter(whole)
    return all(frame in rest for frame in part)


def compared_stacks(own, peer):
    """(kind of difference -> the tasks), over the tasks that both have; what neither side of a pair has is counted too."""
    kinds = collections.defaultdict(list)
    for address, (trace, frames) in own.items():
        if address in peer:
            kinds[difference(frames, peer[address])].append((trace, frames, peer[address]))
        else:
            kinds["not of the peer's tasks"].append((trace, frames, []))
    for address in peer.keys() - own.keys():
        kinds["not of vmcheck's tasks"].append((None, [], peer[address]))
    return kinds


# ---- words


def wrong_words(vmcheck, dump, words):
    """(kind, word, what vmcheck said first) of each whose first reading is not what drgn knows it to be; and of how many."""
    lines = "".join(f"{w[0]} {w[2]}\n" if w[1] == "free" else f"{w[0]}\n" for w in words)
    answers = [json.loads(line) for line in asked(vmcheck, "word", dump, "-", "--format", "json", text=lines).splitlines()]
    if len(answers) != len(words):
        raise LabError(f"vmcheck word: {len(answers)} answers to {len(words)} words")
    wrong = []
    for word, answer in zip(words, answers):
        first = answer["readings"][0]
        if not is_right(word, first):
            wrong.append((word[1], word, first["what"]))
    return wrong


def is_right(word, first):
    _, kind, start, name = word
    place = first.get("place") or {}
    at = lambda *kinds: place.get("kind") in kinds and number(place["start"]) == number(start)  # noqa: E731
    match kind:
        case "text":
            return at("text")
        case "data":  # of CPU 0's idle task the stack is static data as well
            return at("data", "task-stack")
        case "per-cpu":
            return at("per-cpu")
        case "object" | "inside":
            return at("slab-object") and place["name"] == name
        case "stack":
            return at("task-stack") and place["number"] == int(name)
        case "descriptor":
            return place.get("kind") == "page-descriptor" and place["number"] == int(name)
        case "module":
            return place.get("kind") == "module" and re.search(rf"\b{re.escape(name)}\b", place["text"])
        case "free":
            return first["kind"] == "free-pointer" and ("last of its list" in first["what"] if name == "0x0" else name in first["what"])
        case "error":  # of -1 all that it can be is said
            return name == "1" and "-EPERM" in first["what"] or first["kind"] == "error" and re.match(rf"error -{name}\b", first["what"])
    raise LabError(f"no such kind of word: {kind}")


# ---- references


def chosen_objects(words):
    """Ten objects: five that are found by all that leads into them, five by their address alone."""
    objects = {w[2]: w for w in words if w[1] == "object"}
    whole = [w for w in objects.values() if re.fullmatch(r"kmalloc-(64|128|256|512|1k|2k|4k)", w[3])][:5]
    exact = [w for w in objects.values() if w not in whole and not w[3].startswith("kmalloc")]
    per_cache = {w[3]: w for w in exact}
    return [(w, True) for w in whole] + [(w, False) for w in [*per_cache.values()][: 10 - len(whole)]]


def compared_references(crash, vmcheck, dump, release, words):
    """A row an object: (object, words that both name, those vmcheck alone names, those crash alone names by what the page is)."""
    wanted = chosen_objects(words)
    sizes = {"64": 64, "128": 128, "256": 256, "512": 512, "1k": 1024, "2k": 2048, "4k": 4096}
    lines = []
    for i, (word, whole) in enumerate(wanted):
        mask = f"-m {sizes[word[3].partition('-')[2]] - 1:x} " if whole else ""
        lines.append(f"!echo QUERY {i}\nsearch -p {mask}{word[2][2:]}\n")
    with plain(dump) as file:
        text = run(crash.argv("-s", debug_vmlinux_of(release), file), TIMEOUT, "".join(lines))[1]
    found, current = collections.defaultdict(set), None
    for line in text.splitlines():
        if query := re.match(r"QUERY (\d+)", line):
            current = int(query[1])
        elif (hit := re.match(r"([0-9a-f]+): ([0-9a-f]+)", line)) and current is not None:
            found[current].add(number(hit[1]))
    if current is None:
        raise LabError(f"crash: {' '.join(text.split())[-150:] or 'it said nothing'}")
    rows = []
    for i, (word, whole) in enumerate(wanted):
        answer = json.loads(asked(vmcheck, "refs", dump, word[2], *([] if whole else ["--exact"]), "--format", "json"))
        own = {number(h["physical"]) for h in answer["holders"]}
        rows.append((word, whole, len(own & found[i]), sorted(own - found[i]), pages_of(vmcheck, dump, sorted(found[i] - own))))
    return rows


def pages_of(vmcheck, dump, places):
    """What the pages are that hold words which crash alone names: how many words lie in each kind."""
    kinds, known = collections.Counter(), {}
    for place in places:
        frame = place & ~0xFFF
        if frame not in known:
            first = asked(vmcheck, "read", dump, "--phys", hex(frame), "8").splitlines()[0]
            known[frame] = first.partition("page: ")[2] or "not known"
        kinds[known[frame]] += 1
    return kinds
