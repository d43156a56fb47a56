typedef unsigned int u32;
typedef long s64;
typedef struct { s64 counter; } atomic_long_t;
struct list_head { struct list_head *next, *prev; };
struct freelist_counters { void *freelist; unsigned long counters; };
enum pageflags { PG_locked, PG_slab = 9, PG_last = 40 };
enum negative { MINUS = -7, PLUS = 7 };
enum wide { HUGE_VALUE_ENUMERATOR = 0x100000002L };
struct slab {
  const volatile unsigned long flags;
  union {
    struct list_head slab_list;
    struct { struct slab *next; int slabs; };
  };
  union {
    struct freelist_counters fc;
    struct { void *freelist; union { unsigned long counters; struct { unsigned inuse:16; unsigned objects:15; unsigned frozen:1; }; }; };
  };
  signed char tiny:3;
  u32 after;
};
struct kmem_cache_node { unsigned long nr_partial; struct list_head partial; atomic_long_t nr_slabs; };
struct kmem_cache {
  struct kmem_cache_node * const cpu_slab;
  const char *name;
  void (*ctor)(void *);
  u32 matrix[3][5];
  struct list_head lists[4];
  unsigned long long wide_bits:40;
  unsigned long long more_bits:20;
  _Bool on;
  union { long a; char b[16]; } named;
  struct kmem_cache_node *node[];
};
struct declared;
struct declared *pointer_to_declared;
struct slab slab; struct kmem_cache *cache; struct kmem_cache_node node;
enum pageflags flags_of; enum negative neg; enum wide wide_value;
void _start(void) { for (;;) slab.after += node.nr_partial + (unsigned long)cache + flags_of + neg + wide_value; }
