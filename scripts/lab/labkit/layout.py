"""The header that tells the fault module where the kernel keeps its members."""

MEMBERS = {
    "kmem_cache": "cpu_slab cpu_sheaves sheaf_capacity flags size object_size offset oo inuse red_left_pad name list random node"
    " per_node min_partial",
    "kmem_cache_cpu": "freelist slab partial",
    "kmem_cache_node": "nr_partial partial nr_slabs barn",
    "kmem_cache_per_node_ptrs": "sizeof barn node",
    "slub_percpu_sheaves": "main spare rcu_free",
    "slab_sheaf": "capacity cache size objects",
    "node_barn": "sheaves_full sheaves_empty nr_full nr_empty",
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
