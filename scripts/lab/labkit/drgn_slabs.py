#!/usr/bin/python3
"""What drgn says when it is asked for every allocated object of every slab cache (run by scripts/lab/score)."""

import signal
import sys

import drgn
from drgn.helpers.linux.slab import for_each_slab_cache, slab_cache_for_each_allocated_object


class TooLong(Exception):
    pass


def too_long(*_):
    raise TooLong("no end after 30 s")


prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])
signal.signal(signal.SIGALRM, too_long)
print("BEGIN")
for cache in for_each_slab_cache(prog):
    name = cache.name.string_().decode(errors="replace")
    signal.alarm(30)
    try:
        for _ in slab_cache_for_each_allocated_object(cache, "char"):
            pass
    except Exception as error:  # drgn raises faults, ValueErrors, LookupErrors: all are answers here
        print(f"COMPLAINT {name}: {type(error).__name__}: {str(error)[:150]}")
    signal.alarm(0)
print("END")
