// SPDX-License-Identifier: GPL-2.0
/*
 * Plants one known fault in the slab allocator's memory, says on the second serial port what it did, and panics.
 *
 * Everything happens while all other CPUs are held (stop_machine), straight in memory and below the allocator's own
 * checks, so that the fault is still there when the dump is taken. The kernel's private members are reached through
 * layout.h, which is generated from the kernel's own types.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/vmalloc.h>
#include "layout.h"

static char *fault = "healthy";
module_param(fault, charp, 0);
static char *place = "any"; /* cpu, cpu-partial, node, any */
module_param(place, charp, 0);
static char *cache = "own"; /* own, kmalloc, any */
module_param(cache, charp, 0);
static char *end = "panic"; /* panic, halt, return */
module_param(end, charp, 0);
static ulong seed = 1;
module_param(seed, ulong, 0);
static bool wait; /* the words above come over the second serial port: the guest can be kept as a snapshot until then */
module_param(wait, bool, 0);

/* ---- the second serial port: nothing of the truth may stand in the dump's own log ---- */

#ifdef CONFIG_X86
static unsigned long port = 0x2f8;

static int find_port(void) { return 0; }
#else
static unsigned long port; /* a 16550 on a card: QEMU's pci-serial */

static int find_port(void)
{
	struct pci_dev *card = pci_get_device(PCI_VENDOR_ID_REDHAT, 0x0002, NULL);

	if (!card || pci_enable_device(card))
		return -ENODEV;
	port = pci_resource_start(card, 0);
	return port ? 0 : -ENODEV;
}
#endif

static void say_char(char c)
{
	int spins = 100000;

	while (!(inb(port + 5) & 0x20) && --spins)
		cpu_relax();
	outb(c, port);
}

static __printf(1, 2) void say(const char *format, ...)
{
	static char text[256];
	va_list args;
	char *c;

	va_start(args, format);
	vscnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (c = text; *c; c++)
		say_char(*c);
}

static char said[256]; /* the words that were handed in */

static int hear(void)
{
	static const struct {
		const char *key;
		char **value;
	} words[] = { { "fault=", &fault }, { "place=", &place }, { "cache=", &cache }, { "end=", &end } };
	unsigned int n = 0, i;
	char *at = said, *word;

	while (inb(port + 5) & 1)
		inb(port);
	say("VMCHECK-READY\n");
	for (;;) {
		while (!(inb(port + 5) & 1))
			n ? cpu_relax() : msleep(5);
		said[n] = inb(port);
		if (said[n] == '\n')
			break;
		if (++n == sizeof(said) - 1)
			return -E2BIG;
	}
	said[n] = 0;
	while ((word = strsep(&at, " ")) != NULL) {
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (!strncmp(word, words[i].key, strlen(words[i].key)))
				*words[i].value = word + strlen(words[i].key);
		if (!strncmp(word, "seed=", 5) && kstrtoul(word + 5, 10, &seed))
			return -EINVAL;
	}
	return 0;
}

static char refused[128];
#define REFUSE(...) (snprintf(refused, sizeof(refused), __VA_ARGS__), -EINVAL)

/* ---- seeded choice ---- */

static u64 state;

static u64 rnd(void) /* splitmix64 */
{
	u64 z = (state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static unsigned int pick(unsigned int below)
{
	return below ? rnd() % below : 0;
}

/* ---- the allocator's members ---- */

#define U32(p, at) (*(u32 *)((char *)(p) + (at)))
#define U64(p, at) (*(u64 *)((char *)(p) + (at)))
#define PTR(p, at) (*(void **)((char *)(p) + (at)))

typedef struct kmem_cache cache_t;

static unsigned int size_of(cache_t *s) { return U32(s, AT_kmem_cache__size); }
static unsigned int object_size_of(cache_t *s) { return U32(s, AT_kmem_cache__object_size); }
static unsigned int inuse_of(cache_t *s) { return U32(s, AT_kmem_cache__inuse); }
static unsigned int offset_of(cache_t *s) { return U32(s, AT_kmem_cache__offset); }
static unsigned int flags_of(cache_t *s) { return U32(s, AT_kmem_cache__flags); }
static const char *name_of(cache_t *s) { return PTR(s, AT_kmem_cache__name); }

#if AT_kmem_cache__cpu_slab >= 0
static void *cpu_of(cache_t *s, int cpu)
{
	return per_cpu_ptr((void __percpu *)PTR(s, AT_kmem_cache__cpu_slab), cpu);
}
#endif

#if AT_kmem_cache__per_node >= 0
static void *per_node(cache_t *s, int node, int member)
{
	return PTR(s, AT_kmem_cache__per_node + AT_kmem_cache_per_node_ptrs__sizeof * node + member);
}

static void *node_of(cache_t *s, int node) { return per_node(s, node, AT_kmem_cache_per_node_ptrs__node); }
#else
static void *node_of(cache_t *s, int node) { return PTR(s, AT_kmem_cache__node + 8 * node); }
#endif

static void *slab_of(void *object) { return compound_head(virt_to_page(object)); }
static char *base_of(void *slab) { return page_address((struct page *)slab); }
static cache_t *cache_of(void *slab) { return PTR(slab, AT_slab__slab_cache); }
static u32 *counters_of(void *slab) { return &U32(slab, AT_slab__counters); }
static unsigned int slab_inuse(void *slab) { return *counters_of(slab) & 0xffff; }
static unsigned int slab_objects(void *slab) { return *counters_of(slab) >> 16 & 0x7fff; }
static void *slab_freelist(void *slab) { return PTR(slab, AT_slab__freelist); }

static unsigned int pad_of(cache_t *s)
{
	return flags_of(s) & SLAB_RED_ZONE ? U32(s, AT_kmem_cache__red_left_pad) : 0;
}

static void *object_at(void *slab, unsigned int index)
{
	cache_t *s = cache_of(slab);

	return base_of(slab) + index * size_of(s) + pad_of(s);
}

static unsigned int index_of(void *slab, void *object)
{
	cache_t *s = cache_of(slab);

	return ((char *)object - base_of(slab)) / size_of(s);
}

static u64 *slot_of(cache_t *s, void *object) { return (u64 *)((char *)object + offset_of(s)); }

static u64 encode(cache_t *s, void *next, u64 *slot) /* and decode: it is its own inverse */
{
#if AT_kmem_cache__random >= 0
	return (u64)next ^ U64(s, AT_kmem_cache__random) ^ swab64((u64)slot);
#else
	return (u64)next;
#endif
}

static void *next_of(cache_t *s, void *object)
{
	u64 *slot = slot_of(s, object);

	return (void *)encode(s, (void *)*slot, slot);
}

static void link(cache_t *s, void *object, void *next)
{
	u64 *slot = slot_of(s, object);

	*slot = encode(s, next, slot);
}

static bool is_object(void *slab, void *pointer)
{
	cache_t *s = cache_of(slab);
	long distance = (char *)pointer - base_of(slab) - pad_of(s);

	return distance >= 0 && distance < (long)size_of(s) * slab_objects(slab) && distance % size_of(s) == 0;
}

/* ---- our own objects: what may be damaged without taking the dump's own makers down ---- */

#define MAX_OURS 16384
static void **ours;
static unsigned int ours_count;
static cache_t *target;
static cache_t *other; /* another cache, for pointers that go astray */
static void *other_object;

static bool is_ours(void *object)
{
	unsigned int i;

	for (i = 0; i < ours_count; i++)
		if (ours[i] == object)
			return true;
	return false;
}

static unsigned int ours_in(void *slab)
{
	unsigned int i, n = 0;

	for (i = 0; i < slab_objects(slab); i++)
		n += is_ours(object_at(slab, i));
	return n;
}

/* ---- where free objects are ---- */

struct spot {
	void *slab;
	void **head; /* the word that names the first free object */
	const char *where;
	int cpu, node;
};

#define MAX_SPOTS 512
static struct spot *spots;
static unsigned int spot_count;
#define MAX_CHAIN 4096
static void **chain;
static unsigned int chain_length;
static unsigned long *is_free; /* a bit for each index of the chosen slab */

static void add_spot(void *slab, void **head, const char *where, int cpu, int node)
{
	if (spot_count < MAX_SPOTS && *head)
		spots[spot_count++] = (struct spot){ slab, head, where, cpu, node };
}

static void find_spots(cache_t *s)
{
	int cpu, node;

	spot_count = 0;
#if AT_kmem_cache__cpu_slab >= 0
	for_each_online_cpu(cpu) {
		void *c = cpu_of(s, cpu), *slab = PTR(c, AT_kmem_cache_cpu__slab);

		if (slab) {
			add_spot(slab, &PTR(c, AT_kmem_cache_cpu__freelist), "cpu", cpu, -1);
			add_spot(slab, &PTR(slab, AT_slab__freelist), "cpu-remote", cpu, -1);
		}
#if AT_kmem_cache_cpu__partial >= 0
		for (slab = PTR(c, AT_kmem_cache_cpu__partial); slab; slab = PTR(slab, AT_slab__next))
			add_spot(slab, &PTR(slab, AT_slab__freelist), "cpu-partial", cpu, -1);
#endif
	}
#endif
	for_each_online_node(node) {
		struct list_head *list, *at;
		void *n = node_of(s, node);

		if (!n)
			continue;
		list = (struct list_head *)((char *)n + AT_kmem_cache_node__partial);
		list_for_each(at, list) {
			void *slab = (char *)at - AT_slab__slab_list;

			add_spot(slab, &PTR(slab, AT_slab__freelist), "node", -1, node);
		}
	}
}

static void walk(struct spot *spot)
{
	cache_t *s = cache_of(spot->slab);
	void *object;

	chain_length = 0;
	bitmap_zero(is_free, 32768);
	for (object = *spot->head; object && chain_length < MAX_CHAIN; object = next_of(s, object)) {
		chain[chain_length++] = object;
		__set_bit(index_of(spot->slab, object), is_free);
	}
#if AT_kmem_cache__cpu_slab >= 0
	/* the other list of a CPU's slab holds free objects too */
	if (spot->cpu >= 0 && strncmp(spot->where, "cpu-p", 5)) {
		void *c = cpu_of(s, spot->cpu);
		void *from = spot->head == &PTR(c, AT_kmem_cache_cpu__freelist) ? slab_freelist(spot->slab)
									       : PTR(c, AT_kmem_cache_cpu__freelist);
		for (object = from; object; object = next_of(s, object))
			__set_bit(index_of(spot->slab, object), is_free);
	}
#endif
}

static bool allocated_ours(void *slab, int index)
{
	return index >= 0 && index < slab_objects(slab) && !test_bit(index, is_free) && is_ours(object_at(slab, index));
}

/* ---- what was done ---- */

static struct {
	const char *what;
	void *slab, *object, *slot;
	u64 before, raw;
	unsigned int length; /* damaged bytes from `from` on */
	void *from;
	struct spot spot;
	cache_t *cache;
	int index, links; /* position of the object on its list */
	void *also[2]; /* words that may be called the bad one with the same right */
} done;

#ifdef CONFIG_X86
static phys_addr_t (*slow_to_phys)(void *); /* not exported: looked up before anything is stopped */

static u64 physical(void *address)
{
	if (virt_addr_valid(address))
		return __pa(address);
	return slow_to_phys ? slow_to_phys(address) : 0;
}
#else
static u64 physical(void *address)
{
	if (virt_addr_valid(address))
		return __pa(address);
	return is_vmalloc_addr(address) ? page_to_phys(vmalloc_to_page(address)) + offset_in_page(address) : 0;
}
#endif

static void report(void)
{
	cache_t *s = done.cache ? done.cache : target;

	say("VMCHECK-TRUTH {\"fault\":\"%s\",\"what\":\"%s\"", fault, done.what ? done.what : fault);
	if (!strncmp(fault, "healthy", 7)) {
		say("}\n");
		return;
	}
	say(",\"cache\":\"%s\",\"cacheAddress\":\"0x%llx\",\"objectSize\":%u,\"size\":%u,\"freePointerOffset\":%u",
	    name_of(s), (u64)s, object_size_of(s), size_of(s), offset_of(s));
	if (done.spot.where)
		say(",\"place\":\"%s\",\"cpu\":%d,\"node\":%d", done.spot.where, done.spot.cpu, done.spot.node);
	if (done.slab)
		say(",\"slab\":\"0x%llx\",\"slabBase\":\"0x%llx\"", (u64)done.slab, (u64)base_of(done.slab));
	if (done.object)
		say(",\"object\":\"0x%llx\",\"index\":%d,\"links\":%d", (u64)done.object, done.index, done.links);
	if (done.also[0])
		say(",\"also\":[\"0x%llx\"", (u64)done.also[0]);
	if (done.also[1])
		say(",\"0x%llx\"", (u64)done.also[1]);
	if (done.also[0])
		say("]");
	if (done.from)
		say(",\"damaged\":{\"from\":\"0x%llx\",\"length\":%u}", (u64)done.from, done.length);
	say(",\"slot\":\"0x%llx\",\"physical\":\"0x%llx\",\"before\":\"0x%016llx\",\"raw\":\"0x%016llx\"}\n",
	    (u64)done.slot, physical(done.slot), done.before, done.raw);
}

/* ---- faults of one free object ---- */

static void fill_text(char *at, unsigned int length)
{
	static const char *const texts[] = { "The quick brown fox jumps over the lazy dog. ", "user=alice;role=admin;",
					     "GET /index.html HTTP/1.1\r\nHost: a\r\n", "0123456789abcdef" };
	const char *text = texts[pick(ARRAY_SIZE(texts))];
	unsigned int i, n = strlen(text), from = pick(n);

	for (i = 0; i < length; i++)
		at[i] = text[(from + i) % n];
}

static int take_object(struct spot *spot, unsigned int at)
{
	cache_t *s = cache_of(spot->slab);

	done.cache = s;
	done.spot = *spot;
	done.slab = spot->slab;
	done.object = chain[at];
	done.links = at;
	done.index = index_of(spot->slab, chain[at]);
	done.slot = slot_of(s, chain[at]);
	done.before = *(u64 *)done.slot;
	done.from = done.slot;
	done.length = 8;
	return 0;
}

static int write_after_free(struct spot *spot)
{
	static u8 poisons[] = { 0x6b, 0x5a, 0xa5, 0xcc, 0xdd };
	cache_t *s = cache_of(spot->slab);
	unsigned int room, bytes;
	u64 *slot;

	take_object(spot, pick(chain_length));
	slot = done.slot;
	/* a writer through a stale pointer hits a field or a few, not the whole object */
	room = object_size_of(s) - offset_of(s);
	bytes = min_t(unsigned int, room, 8 * (1 + pick(3)));
	done.length = bytes;
	if (!strcmp(fault, "uaf-text"))
		fill_text((char *)slot, bytes);
	else if (!strcmp(fault, "uaf-pointer"))
		done.length = 8, *slot = pick(2) ? (u64)other_object : (u64)s;
	else if (!strcmp(fault, "uaf-zero"))
		memset(slot, 0, bytes);
	else if (!strcmp(fault, "uaf-ones"))
		memset(slot, 0xff, bytes);
	else if (!strcmp(fault, "uaf-poison"))
		memset(slot, poisons[pick(ARRAY_SIZE(poisons))], bytes);
	else if (!strcmp(fault, "uaf-counter"))
		done.length = 8, *slot = 1 + pick(5000);
	else
		return REFUSE("no such fault: %s", fault);
	return 0;
}

static int flip(struct spot *spot, int bits)
{
	int tries;
	u64 mask, *slot;
	void *to;

	take_object(spot, pick(chain_length));
	slot = done.slot;
	for (tries = 0; tries < 1000; tries++) {
		mask = 1ULL << pick(64);
		if (bits == 2)
			mask |= 1ULL << pick(64);
		to = (void *)encode(done.cache, (void *)(done.before ^ mask), slot);
		/* a flip that lands on another object of the slab only reorders the list: no rule can see it as a flip */
		if (hweight64(mask) == bits && to && !is_object(spot->slab, to)) {
			*slot = done.before ^ mask;
			return 0;
		}
	}
	return REFUSE("no bit of the word gives a bad pointer");
}

static int free_twice(struct spot *spot)
{
	cache_t *s = cache_of(spot->slab);
	void *victims[4], *head = *spot->head;
	unsigned int i, n = 0, want = 2 + pick(2);

	/* allocated objects of ours in this slab: the first is freed, others after it, the first again */
	for (i = 0; i < slab_objects(spot->slab) && n < want; i++)
		if (allocated_ours(spot->slab, i))
			victims[n++] = object_at(spot->slab, i);
	if (n < 2 || (spot->head == &PTR(spot->slab, AT_slab__freelist) && slab_inuse(spot->slab) <= n + 1))
		return REFUSE("too few allocated objects to free twice");
	take_object(spot, 0);
	done.object = victims[0];
	done.index = index_of(spot->slab, victims[0]);
	done.slot = slot_of(s, victims[0]);
	done.from = done.slot;
	done.before = *(u64 *)done.slot;
	done.links = 0;
	for (i = 0; i < n; i++) {
		link(s, victims[i], head);
		head = victims[i];
	}
	link(s, victims[0], head);
	done.also[0] = slot_of(s, victims[1]); /* it leads back to the first, and was written in good faith */
	*spot->head = victims[0];
	if (spot->head == &PTR(spot->slab, AT_slab__freelist))
		*counters_of(spot->slab) -= n + 1;
	return 0;
}

static int two_lists(struct spot *spot)
{
#if AT_kmem_cache__cpu_slab >= 0
	cache_t *s = cache_of(spot->slab);
	void *c, *victim = NULL;
	unsigned int i;

	if (strcmp(spot->where, "cpu"))
		return REFUSE("only a CPU's slab has two lists");
	for (i = 0; i < slab_objects(spot->slab) && !victim; i++)
		if (allocated_ours(spot->slab, i))
			victim = object_at(spot->slab, i);
	if (!victim || slab_inuse(spot->slab) < 2)
		return REFUSE("no allocated object to free twice");
	c = cpu_of(s, spot->cpu);
	take_object(spot, 0);
	done.object = victim;
	done.index = index_of(spot->slab, victim);
	done.slot = slot_of(s, victim);
	done.from = done.slot;
	done.before = *(u64 *)done.slot;
	done.links = 0;
	done.also[0] = &PTR(c, AT_kmem_cache_cpu__freelist);
	done.also[1] = &PTR(spot->slab, AT_slab__freelist);
	/* freed by this CPU, then once more by another: the second free rewrites the slot for the other list */
	PTR(c, AT_kmem_cache_cpu__freelist) = victim;
	link(s, victim, slab_freelist(spot->slab));
	PTR(spot->slab, AT_slab__freelist) = victim;
	*counters_of(spot->slab) -= 1;
	return 0;
#else
	return REFUSE("this kernel has no CPU slabs");
#endif
}

static int overflow(struct spot *spot)
{
	cache_t *s = cache_of(spot->slab);
	unsigned int i, from = pick(chain_length);

	for (i = 0; i < chain_length; i++) {
		unsigned int at = (from + i) % chain_length;
		int index = index_of(spot->slab, chain[at]);
		char *left;

		if (!allocated_ours(spot->slab, index - 1))
			continue;
		take_object(spot, at);
		left = object_at(spot->slab, index - 1);
		done.from = left + object_size_of(s) / 4 / 8 * 8;
		done.length = (char *)done.slot + 8 - (char *)done.from;
		if (offset_of(s) + 16 <= object_size_of(s))
			done.length += pick(8);
		if (pick(3) == 0)
			memset(done.from, 'A' + pick(26), done.length);
		else
			fill_text(done.from, done.length);
		return 0;
	}
	return REFUSE("no free object has an allocated left neighbour");
}

static int zero_object(struct spot *spot)
{
	take_object(spot, pick(chain_length));
	done.from = done.object;
	done.length = object_size_of(done.cache);
	memset(done.object, 0, done.length);
	return 0;
}

static int wipe_page(struct spot *spot)
{
	unsigned int free = bitmap_weight(is_free, 32768), i;
	char *page;

	if (ours_in(spot->slab) + free < slab_objects(spot->slab))
		return REFUSE("the slab holds objects of others");
	take_object(spot, pick(chain_length));
	page = (char *)((u64)done.slot & PAGE_MASK);
	/* the walk meets this page first at the first object whose slot lies in it */
	for (i = 0; i < chain_length; i++)
		if (((u64)slot_of(done.cache, chain[i]) & PAGE_MASK) == (u64)page)
			break;
	take_object(spot, i);
	done.from = page;
	done.length = PAGE_SIZE;
	memset(page, 0, PAGE_SIZE);
	return 0;
}

static int into_other(struct spot *spot)
{
	cache_t *s = cache_of(spot->slab);
	void *to = other_object;
	unsigned int i;

	take_object(spot, pick(chain_length));
	if (!strcmp(fault, "pointer-other-slab")) {
		to = NULL;
		for (i = pick(ours_count); !to && i < ours_count; i++)
			if (ours[i] && slab_of(ours[i]) != spot->slab && cache_of(slab_of(ours[i])) == s)
				to = ours[i];
		for (i = 0; !to && i < ours_count; i++)
			if (ours[i] && slab_of(ours[i]) != spot->slab && cache_of(slab_of(ours[i])) == s)
				to = ours[i];
	}
	if (!to)
		return REFUSE("no object to point at");
	link(s, done.object, to);
	return 0;
}

static int cross_free(struct spot *spot)
{
	unsigned int i;

	if (spot->head != &PTR(spot->slab, AT_slab__freelist) || slab_inuse(spot->slab) < 2)
		return REFUSE("not on the slab's own list");
	for (i = 0; i < slab_objects(spot->slab); i++) {
		void *victim = object_at(spot->slab, i);

		if (!allocated_ours(spot->slab, i))
			continue;
		take_object(spot, 0);
		done.object = victim;
		done.index = i;
		done.links = 0;
		done.slot = slot_of(done.cache, victim);
		done.from = done.slot;
		done.before = *(u64 *)done.slot;
		/* what the allocator writes when it is told the wrong cache: the other one's key and place of the slot */
		*(u64 *)done.slot = encode(other, *spot->head, done.slot);
		*spot->head = victim;
		*counters_of(spot->slab) -= 1;
		return 0;
	}
	return REFUSE("no allocated object of ours");
}

/* ---- faults of the descriptors ---- */

static void take_word(struct spot *spot, void *word)
{
	done.spot = *spot;
	done.slab = spot->slab;
	done.cache = cache_of(spot->slab);
	done.slot = word;
	done.from = word;
	done.length = 8;
	done.before = *(u64 *)word;
}

static int descriptor(struct spot *spot)
{
	u32 *counters = counters_of(spot->slab);
	unsigned int inuse = slab_inuse(spot->slab), objects = slab_objects(spot->slab), change;
	u64 bad[] = { 0, 0xdead000000000100ULL, 0x6b6b6b6b6b6b6b6bULL, 0, 0 };
	void *word;

	if (!strcmp(fault, "inuse-wrong")) {
		take_word(spot, counters);
		do
			change = pick(objects + 4);
		while (change == inuse);
		*counters = (*counters & 0xffff0000) | change;
	} else if (!strcmp(fault, "objects-wrong")) {
		take_word(spot, counters);
		do
			change = 1 + pick(objects + 8);
		while (change == objects);
		*counters = (*counters & 0x8000ffff) | change << 16;
	} else if (!strcmp(fault, "frozen-wrong")) {
		take_word(spot, counters);
		*counters ^= 1U << 31;
	} else if (!strcmp(fault, "slab-cache-wrong")) {
		cache_t *s = cache_of(spot->slab);

		word = &PTR(spot->slab, AT_slab__slab_cache);
		take_word(spot, word);
		PTR(spot->slab, AT_slab__slab_cache) = pick(3) ? other : (void *)((u64)s + 8 * (1 + pick(8)));
		done.cache = s;
	} else if (!strcmp(fault, "list-next") || !strcmp(fault, "list-prev")) {
		if (strcmp(spot->where, "node"))
			return REFUSE("only node lists are doubly linked");
		word = (char *)spot->slab + AT_slab__slab_list + (strcmp(fault, "list-next") ? 8 : 0);
		take_word(spot, word);
		bad[3] = done.before ^ (8ULL << pick(3));
		bad[4] = done.before ^ (1ULL << (32 + pick(31)));
		*(u64 *)word = bad[pick(ARRAY_SIZE(bad))];
	} else if (!strcmp(fault, "cpu-partial-next")) {
		if (strcmp(spot->where, "cpu-partial"))
			return REFUSE("only a CPU's partial list");
		word = &PTR(spot->slab, AT_slab__next);
		take_word(spot, word);
		bad[0] = done.before ^ (8ULL << pick(3)); /* zero may be the truth here: the end of the chain */
		bad[3] = (u64)spot->slab;
		bad[4] = done.before ^ (1ULL << (32 + pick(31)));
		*(u64 *)word = bad[pick(ARRAY_SIZE(bad))];
	} else if (!strcmp(fault, "head-overwritten")) {
		word = spot->head;
		take_word(spot, word);
		bad[0] = done.before + 8; /* inside the object, off its start */
		bad[3] = 0x2f7273752f656d6fULL; /* text */
		bad[4] = rnd();
		*(u64 *)word = bad[pick(ARRAY_SIZE(bad))];
	} else if (!strcmp(fault, "nr-partial-wrong")) {
		if (strcmp(spot->where, "node"))
			return REFUSE("only nodes count");
		word = (char *)node_of(cache_of(spot->slab), spot->node) + AT_kmem_cache_node__nr_partial;
		take_word(spot, word);
		*(u64 *)word += 1 + pick(9);
	} else if (!strcmp(fault, "cache-random")) {
#if AT_kmem_cache__random >= 0
		word = (char *)cache_of(spot->slab) + AT_kmem_cache__random;
		take_word(spot, word);
		*(u64 *)word ^= pick(2) ? 1ULL << pick(64) : rnd();
#else
		return REFUSE("this kernel has no secret in its caches");
#endif
	} else if (!strcmp(fault, "cache-field")) {
		static const int fields[] = { AT_kmem_cache__size, AT_kmem_cache__offset, AT_kmem_cache__oo };
		int field = fields[pick(ARRAY_SIZE(fields))];

		word = (char *)cache_of(spot->slab) + field;
		take_word(spot, word);
		done.length = 4;
		*(u32 *)word ^= field == AT_kmem_cache__oo ? 1U << pick(5) : 1U << (3 + pick(5));
		} else {
		return 1;
	}
	return 0;
}

/* ---- faults of sheaves and barns ---- */

#if AT_kmem_cache__cpu_sheaves >= 0
#define SHEAF_SIZE(sheaf) U32(sheaf, AT_slab_sheaf__size)
#define SHEAF_OBJECT(sheaf, i) PTR(sheaf, AT_slab_sheaf__objects + 8 * (i))

static void take_sheaf_word(void *word, const char *where, int cpu, int node)
{
	done.spot = (struct spot){ NULL, NULL, where, cpu, node };
	done.cache = target;
	done.slot = word;
	done.from = word;
	done.length = 8;
	done.before = *(u64 *)word;
}

static int barn_fault(void)
{
	void *barn = NULL;
	int node;

	for_each_online_node(node) {
#if AT_kmem_cache__per_node >= 0
		barn = per_node(target, node, AT_kmem_cache_per_node_ptrs__barn);
#elif AT_kmem_cache_node__barn >= 0
		barn = node_of(target, node) ? PTR(node_of(target, node), AT_kmem_cache_node__barn) : NULL;
#endif
		if (barn)
			break;
	}
	if (!barn)
		return REFUSE("%s has no barn", name_of(target));
	if (!strcmp(fault, "barn-count")) {
		take_sheaf_word((char *)barn + AT_node_barn__nr_full, "barn", -1, node);
		done.length = 4;
		U32(barn, AT_node_barn__nr_full) += 1 + pick(6);
	} else {
		struct list_head *full = (void *)((char *)barn + AT_node_barn__sheaves_full), *at = full;
		u64 bad[] = { 0, 0xdead000000000100ULL, 0x6b6b6b6b6b6b6b6bULL, 0 };
		unsigned int steps = pick(3);

		if (full->next == full)
			return REFUSE("the barn of %s holds no full sheaf", name_of(target));
		while (steps-- && at->next != full)
			at = at->next;
		take_sheaf_word(&at->next, "barn", -1, node);
		bad[3] = done.before ^ (1ULL << (32 + pick(31)));
		*(u64 *)&at->next = bad[pick(ARRAY_SIZE(bad))];
	}
	return 0;
}

static int sheaf_fault(void)
{
	int cpu, from = pick(num_online_cpus());
	void *pcs, *sheaf = NULL;
	unsigned int i, j, n;

	if (!strncmp(fault, "barn-", 5))
		return barn_fault();
	for (i = 0; i < num_online_cpus(); i++) {
		cpu = (from + i) % num_online_cpus();
		pcs = per_cpu_ptr((void __percpu *)PTR(target, AT_kmem_cache__cpu_sheaves), cpu);
		sheaf = PTR(pcs, AT_slub_percpu_sheaves__main);
		if (sheaf && SHEAF_SIZE(sheaf) >= 3)
			break;
		sheaf = NULL;
	}
	if (!sheaf)
		return REFUSE("no CPU has a main sheaf of %s with three objects", name_of(target));
	n = SHEAF_SIZE(sheaf);
	i = pick(n);
	j = (i + 1 + pick(n - 1)) % n;
	if (!strcmp(fault, "sheaf-main")) {
		u64 bad[] = { 0x2f7273752f656d6fULL, (u64)sheaf + 8 * (1 + pick(3)), 0xdead000000000100ULL, rnd() };

		take_sheaf_word((char *)pcs + AT_slub_percpu_sheaves__main, "cpu-sheaves", cpu, -1);
		*(u64 *)done.slot = bad[pick(ARRAY_SIZE(bad))];
		return 0;
	}
	if (!strcmp(fault, "sheaf-size")) {
		take_sheaf_word((char *)sheaf + AT_slab_sheaf__size, "sheaf", cpu, -1);
		done.length = 4;
		SHEAF_SIZE(sheaf) = U32(target, AT_kmem_cache__sheaf_capacity) + 1 + pick(40);
		return 0;
	}
	if (!strcmp(fault, "sheaf-zeroed")) {
		take_sheaf_word((char *)sheaf + AT_slab_sheaf__cache, "sheaf", cpu, -1);
		done.from = sheaf;
		done.length = AT_slab_sheaf__objects + 8 * U32(target, AT_kmem_cache__sheaf_capacity);
		done.also[0] = sheaf;
		done.also[1] = (char *)sheaf + AT_slab_sheaf__size;
		memset(sheaf, 0, done.length);
		return 0;
	}
	if (!strcmp(fault, "sheaf-double-free")) { /* what the fast path of a second free does: no check, one more object */
		if (n >= U32(target, AT_kmem_cache__sheaf_capacity))
			SHEAF_SIZE(sheaf) = --n, i = pick(n);
		take_sheaf_word(&SHEAF_OBJECT(sheaf, n), "sheaf", cpu, -1);
		done.also[0] = &SHEAF_OBJECT(sheaf, i);
		done.object = SHEAF_OBJECT(sheaf, i);
		SHEAF_OBJECT(sheaf, n) = SHEAF_OBJECT(sheaf, i);
		SHEAF_SIZE(sheaf) = n + 1;
	} else {
		u64 stray[] = { 0x6c6c65680a216f6cULL, 0, rnd(), 0x6b6b6b6b6b6b6b6bULL, 1 + pick(5000) };
		u64 *word = (u64 *)&SHEAF_OBJECT(sheaf, i);

		take_sheaf_word(word, "sheaf", cpu, -1);
		done.object = SHEAF_OBJECT(sheaf, i);
		if (!strcmp(fault, "sheaf-stray"))
			*word = stray[pick(ARRAY_SIZE(stray))];
		else if (!strcmp(fault, "sheaf-other-cache"))
			*word = (u64)other_object;
		else if (!strcmp(fault, "sheaf-twice"))
			*word = (u64)SHEAF_OBJECT(sheaf, j), done.also[0] = &SHEAF_OBJECT(sheaf, j);
		else if (!strcmp(fault, "sheaf-inside"))
			*word += 8;
		else
			return REFUSE("no such fault: %s", fault);
	}
	done.slab = slab_of(done.object);
	done.index = index_of(done.slab, done.object);
	return 0;
}
#else
static int sheaf_fault(void) { return REFUSE("this kernel has no sheaves"); }
#endif

/* ---- a double free that the allocator itself carries out, in bulk or out of a full sheaf ---- */

static cache_t *own;

/* a kernel with sheaves takes what is freed in bulk into the CPU's: then the two words there are the damage */
static void find_in_sheaf(void *object)
{
#if AT_kmem_cache__cpu_sheaves >= 0
	unsigned int i, found = 0;
	void *sheaf;
	int cpu;

	for_each_online_cpu(cpu) {
		sheaf = PTR(per_cpu_ptr((void __percpu *)PTR(target, AT_kmem_cache__cpu_sheaves), cpu),
			    AT_slub_percpu_sheaves__main);
		for (i = 0; sheaf && i < SHEAF_SIZE(sheaf); i++) {
			if (SHEAF_OBJECT(sheaf, i) != object)
				continue;
			if (found++) {
				done.also[1] = done.slot;
				done.slot = &SHEAF_OBJECT(sheaf, i);
			} else {
				done.also[0] = done.slot;
				done.slot = &SHEAF_OBJECT(sheaf, i);
			}
			done.from = done.slot;
			done.before = 0;
			done.spot.where = "sheaf";
		}
	}
#endif
}

static int free_in_bulk(bool flushed)
{
	void *list[3], *slab = NULL;
	unsigned int i, j, n = 0;

	/* two allocated objects of one slab that is not the CPU's own: those at the end of the first slabs */
	for (i = 0; i < ours_count && n < 2; i++) {
		if (!ours[i])
			continue;
		slab = slab_of(ours[i]);
		for (j = i, n = 0; j < ours_count && n < 2 && (!ours[j] || slab_of(ours[j]) == slab); j++)
			if (ours[j])
				list[n++] = ours[j];
		if (slab_inuse(slab) < 5)
			n = 0;
	}
	if (n < 2)
		return REFUSE("no slab with two allocated objects");
	list[2] = list[0];
	done.cache = target;
	done.spot = (struct spot){ slab, &PTR(slab, AT_slab__freelist), "node", -1, page_to_nid((struct page *)slab) };
	done.slab = slab;
	done.object = list[0];
	done.index = index_of(slab, list[0]);
	done.slot = slot_of(target, list[0]);
	done.from = done.slot;
	done.length = 8;
	done.before = *(u64 *)done.slot;
	done.also[0] = slot_of(target, list[1]);
	done.also[1] = counters_of(slab);
	for (i = 0; i < ours_count; i++)
		if (ours[i] == list[0] || ours[i] == list[1])
			ours[i] = NULL;
	if (flushed) {
		for (i = 0; i < 3; i++)
			kmem_cache_free(own, list[i]);
		kmem_cache_shrink(own);
	} else {
		kmem_cache_free_bulk(own, 3, list);
		find_in_sheaf(list[0]);
	}
	memcpy(&done.raw, done.slot, 8);
	return 0;
}

/* ---- faults of caches with debugging ---- */

static int debug_fault(struct spot *spot)
{
	cache_t *s = cache_of(spot->slab);
	unsigned int i, info, at, n = 1 + pick(8);
	bool of_free = !strcmp(fault, "poison");
	char *object = NULL;

	if (!(flags_of(s) & SLAB_RED_ZONE))
		return REFUSE("the cache has no debugging");
	at = pick(slab_objects(spot->slab));
	for (i = 0; i < slab_objects(spot->slab) && !object; i++) {
		unsigned int index = (at + i) % slab_objects(spot->slab);

		if (of_free ? test_bit(index, is_free) : allocated_ours(spot->slab, index))
			object = object_at(spot->slab, index);
	}
	if (!object)
		return REFUSE("no object of the kind wanted");
	info = offset_of(s) >= inuse_of(s) ? inuse_of(s) + 8 : inuse_of(s);
	take_word(spot, object);
	done.object = object;
	done.index = index_of(spot->slab, object);
	if (!strcmp(fault, "redzone")) {
		done.from = object + object_size_of(s);
		n = min(n, inuse_of(s) - object_size_of(s));
	} else if (!strcmp(fault, "left-redzone")) {
		n = min(n, pad_of(s));
		done.from = object - n;
	} else if (!strcmp(fault, "poison")) {
		done.from = object + pick(object_size_of(s) - 8);
	} else { /* tracking: the address of the allocating code */
		done.from = object + info;
		n = 8;
	}
	done.slot = done.from;
	memcpy(&done.before, done.from, 8);
	done.length = n;
	if (!strcmp(fault, "tracking"))
		*(u64 *)done.from = 0x4141414100000000ULL | rnd() >> 32;
	else
		memset(done.from, "\0AzE"[pick(4)], n);
	return 0;
}

/* ---- choose, plant, end ---- */

static int plant_at(struct spot *spot)
{
	int result;

	if (!strcmp(fault, "bit-flip"))
		return flip(spot, 1);
	if (!strcmp(fault, "two-bit-flip"))
		return flip(spot, 2);
	if (!strcmp(fault, "double-free"))
		return free_twice(spot);
	if (!strcmp(fault, "two-lists"))
		return two_lists(spot);
	if (!strcmp(fault, "overflow"))
		return overflow(spot);
	if (!strcmp(fault, "object-zeroed"))
		return zero_object(spot);
	if (!strcmp(fault, "page-wiped"))
		return wipe_page(spot);
	if (!strncmp(fault, "pointer-other-", 14))
		return into_other(spot);
	if (!strcmp(fault, "cross-cache-free"))
		return cross_free(spot);
	if (!strcmp(fault, "redzone") || !strcmp(fault, "left-redzone") || !strcmp(fault, "poison") ||
	    !strcmp(fault, "tracking"))
		return debug_fault(spot);
	if (!strncmp(fault, "uaf-", 4))
		return write_after_free(spot);
	result = descriptor(spot);
	return result == 1 ? REFUSE("no such fault: %s", fault) : result;
}

static int plant(void)
{
	unsigned int i, from;
	bool any = !strcmp(place, "any");

	if (!strncmp(fault, "healthy", 7) || done.slot)
		return 0;
	if (!strncmp(fault, "sheaf-", 6) || !strncmp(fault, "barn-", 5)) {
		if (sheaf_fault())
			return -EINVAL;
		memcpy(&done.raw, done.slot, 8);
		return 0;
	}
#if AT_kmem_cache__cpu_slab < 0
	if (!any && strcmp(place, "node"))
		place = "node"; /* this kernel has no slabs of CPUs: the node's lists hold all that are partial */
#endif
	find_spots(target);
	from = pick(spot_count);
	(void)REFUSE("no free object of %s in place %s (%u lists seen, last %s)", name_of(target), place, spot_count,
	       spot_count ? spots[spot_count - 1].where : "none");
	for (i = 0; i < spot_count; i++) {
		struct spot *spot = &spots[(from + i) % spot_count];

		if (!any && strcmp(place, spot->where))
			continue;
		if (!ours_in(spot->slab))
			continue;
		walk(spot);
		if (plant_at(spot) == 0) {
			memcpy(&done.raw, done.slot, 8);
			return 0;
		}
	}
	return -EINVAL;
}

static void halt_for_good(void)
{
	local_irq_disable();
	for (;;)
#ifdef CONFIG_X86
		asm volatile("hlt");
#else
		asm volatile("wfi");
#endif
}

static int with_all_stopped(void *unused)
{
	if (plant()) {
		say("VMCHECK-TRUTH {\"refused\":\"%s\"}\n", refused);
		return -EINVAL;
	}
	report();
	if (!strcmp(end, "panic"))
		panic("vmcheck lab: the dump is wanted here");
	if (!strcmp(end, "halt"))
		halt_for_good();
	return 0;
}

/* ---- objects in every kind of place ---- */

static void *take(cache_t *own, unsigned int size)
{
	void *object = own ? kmem_cache_alloc(own, GFP_NOWAIT) : kmalloc(size, GFP_NOWAIT);
	u32 *word = object;
	unsigned int i;

	if (!object)
		return NULL;
	/* plausible content: small numbers, some text, a pointer */
	for (i = 0; i < size / 4; i++)
		word[i] = i % 7 == 3 ? 0x6c6c6568 + i : (u32)(rnd() >> 48);
	if (size >= 32)
		*(void **)((char *)object + size / 4 / 8 * 8) = &ours;
	return object;
}

static void give(cache_t *own, unsigned int i)
{
	if (own)
		kmem_cache_free(own, ours[i]);
	else
		kfree(ours[i]);
	ours[i] = NULL;
}

static int prepare(void)
{
	static const unsigned int sizes[] = { 96, 128, 192, 256, 320, 512, 1024, 2048 };
	static const unsigned int kmalloc_sizes[] = { 64, 96, 128, 192, 256, 512, 1024, 2048 };
	bool debug = !strcmp(fault, "healthy-debug") || !strcmp(fault, "redzone") || !strcmp(fault, "left-redzone") || !strcmp(fault, "poison") ||
		     !strcmp(fault, "tracking");
	bool of_own = !strcmp(cache, "own") || (!strcmp(cache, "any") && pick(2));
	unsigned int size = of_own ? sizes[pick(ARRAY_SIZE(sizes))] : kmalloc_sizes[pick(ARRAY_SIZE(kmalloc_sizes))];
	slab_flags_t flags = debug ? SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER : 0;
	unsigned int per_slab, want, i, slabs;
	char *name;
	void *last;

	/* a size that is no multiple of the word leaves the red zone some bytes inside the word */
	if (debug && of_own && pick(2))
		size -= 4;
	if (of_own) {
		name = kasprintf(GFP_KERNEL, "vmcheck_lab_%u", size);
		/* a usercopy window keeps the cache from being merged with others of its size */
		own = kmem_cache_create_usercopy(name, size, 0, flags, 0, size, NULL);
		if (!own)
			return -ENOMEM;
	}
	ours = vzalloc(MAX_OURS * sizeof(*ours));
	spots = vzalloc(MAX_SPOTS * sizeof(*spots));
	chain = vzalloc(MAX_CHAIN * sizeof(*chain));
	is_free = vzalloc(32768 / 8);
	other_object = kmalloc(size >= 512 ? 192 : 1024, GFP_KERNEL);
	if (!ours || !spots || !chain || !is_free || !other_object)
		return -ENOMEM;
	ours[0] = take(own, size);
	if (!ours[0])
		return -ENOMEM;
	target = cache_of(slab_of(ours[0]));
	other = cache_of(slab_of(other_object));
	per_slab = U32(target, AT_kmem_cache__oo) & 0xffff;
	slabs = min(64U, 1U + MAX_OURS / per_slab); /* more than a CPU keeps of partial ones */
	want = per_slab * slabs;
#if AT_kmem_cache__cpu_sheaves >= 0
	/* what is freed first fills the CPU's sheaves and then the barn's: more than they hold has to come back to slabs */
	want = max(want, 48 * U32(target, AT_kmem_cache__sheaf_capacity));
#endif
	want = min_t(unsigned int, MAX_OURS, want);

	migrate_disable();
	for (i = 1; i < want; i++) {
		ours[i] = take(own, size);
		if (!ours[i])
			break;
	}
	ours_count = i;
	/* full slabs become partial one after another: a few stay with this CPU, the rest drain to the node */
	last = NULL;
	for (i = 0, slabs = 0; i < ours_count; i++) {
		if (slab_of(ours[i]) != last) {
			last = slab_of(ours[i]);
			slabs++;
		}
		if (slabs % 4 != 0 && pick(100) < 45)
			give(own, i);
	}
	/* the CPU's own slab: some objects taken from it, some given back */
	for (i = 0; i < ours_count && ours[i]; i++)
		;
	if (i < ours_count)
		ours[i] = take(own, size);
	for (; i < ours_count && ours[i]; i++)
		;
	if (i < ours_count)
		ours[i] = take(own, size);
	migrate_enable();
	return 0;
}

/* ---- the way in ---- */

#ifdef CONFIG_X86
static unsigned long lab_lookup(const char *name)
{
	static unsigned long (*lookup)(const char *);
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (!lookup && register_kprobe(&probe) == 0) {
		lookup = (void *)probe.addr;
		unregister_kprobe(&probe);
	}
	return lookup ? lookup(name) : 0;
}
#endif

static int __init lab_init(void)
{
	const char *c;
	int result;

	/* each fault draws its own cache, size, index and value from the same seed */
	state = seed;
	result = find_port();
	if (result)
		return result;
	if (wait) {
		result = hear();
		if (result) {
			say("VMCHECK-TRUTH {\"refused\":\"the words were not understood (%d)\"}\n", result);
			return result;
		}
		state = seed;
	}
	for (c = fault; *c; c++)
		state = state * 31 + *c;
	rnd();
#ifdef CONFIG_X86
	slow_to_phys = (void *)lab_lookup("slow_virt_to_phys");
#endif
	if (strcmp(fault, "healthy")) {
		result = prepare();
		if (result) {
			say("VMCHECK-TRUTH {\"refused\":\"no memory for the objects (%d)\"}\n", result);
			return result;
		}
	}
	if (!strcmp(fault, "bulk-double-free") || !strcmp(fault, "flushed-double-free")) {
		if (own ? free_in_bulk(*fault == 'f') : REFUSE("only with a cache of our own")) {
			say("VMCHECK-TRUTH {\"refused\":\"%s\"}\n", refused);
			return -EINVAL;
		}
	}
	return stop_machine(with_all_stopped, NULL, NULL);
}

module_init(lab_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vmcheck lab: plants one known fault");
