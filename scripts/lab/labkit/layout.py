"""The header that tells the fault module where the kernel keeps its members."""

MEMBERS = {
    "kmem_cache": "cpu_slab flags size object_size offset oo inuse red_left_pad name list random node min_partial",
    "kmem_cache_cpu": "freelist slab partial",
    "kmem_cache_node": "nr_partial partial nr_slabs",
    "slab": "slab_list slab_cache freelist counters next slabs",
    "track": "sizeof",
}


def header(layout):
    lines = ["/* generated from the kernel's types: offset of each member, -1 when the kernel lacks it */"]
    for struct, members in MEMBERS.items():
        for member in members.split():
            offset = layout.get((struct, member), (-1, 0))[0]
            lines.append(f"#define AT_{struct}__{member} ({offset})")
    return "\n".join(lines) + "\n"
