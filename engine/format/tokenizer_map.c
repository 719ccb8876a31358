/* tokenizer_map.c - pieces by their bytes, a trie over bytes, and GPT-2's byte alphabet. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

/* ---- pieces by bytes ---- */

static inline uint64_t word_at(const char *p, size_t n)
{
    uint64_t w = 0;
    memcpy(&w, p, n < 8 ? n : 8);
    return w;
}

static uint64_t hash_piece(const char *p, size_t n)
{
    if (n > 16) return hash64(p, n, 0);
    uint64_t low = word_at(p, n), high = n > 8 ? word_at(p + 8, n - 8) : 0;
    uint64_t h = (low ^ n * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u ^
                 (high + 0x94D049BB133111EBu) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return h ^ h >> 29;
}

static size_t power_of_two(size_t least)
{
    size_t n = 16;
    while (n < least) n *= 2;
    return n;
}

void piece_map_make(struct piece_map *m, size_t most, struct arena *a)
{
    size_t n = power_of_two(most * 2 + 2);
    m->n = 0;
    m->slots = NEW_N(a, struct piece_slot, n);
    m->mask = n - 1;
}

static struct piece_slot *slot_of(const struct piece_map *m, const struct text *pieces, const char *p,
                                  size_t n, uint32_t *tag)
{
    uint64_t h = hash_piece(p, n);
    *tag = (uint32_t)(h >> 32);
    for (size_t i = (size_t)h & m->mask;; i = (i + 1) & m->mask) {
        struct piece_slot *s = &m->slots[i];
        if (!s->id_plus_1) return s;
        const struct text *piece = &pieces[s->id_plus_1 - 1];
        if (s->tag == *tag && piece->n == n && !memcmp(piece->p, p, n)) return s;
    }
}

bool piece_map_add(struct piece_map *m, const struct text *pieces, int32_t id)
{
    uint32_t tag;
    struct piece_slot *s = slot_of(m, pieces, pieces[id].p, pieces[id].n, &tag);
    if (s->id_plus_1) return false;
    BUG_IF(m->n * 2 > m->mask);
    *s = (struct piece_slot){tag, id + 1};
    m->n++;
    return true;
}

void piece_map_room(struct piece_map *m, const struct text *pieces, struct arena *a)
{
    struct piece_map old = *m;
    if (old.n * 2 < old.mask) return;
    piece_map_make(m, old.n * 2, a);
    for (size_t i = 0; i <= old.mask; i++)
        if (old.slots[i].id_plus_1) piece_map_add(m, pieces, old.slots[i].id_plus_1 - 1);
}

int32_t piece_map_find(const struct piece_map *m, const struct text *pieces, const char *p, size_t n)
{
    uint32_t tag;
    return m->slots ? slot_of(m, pieces, p, n, &tag)->id_plus_1 - 1 : -1;
}

/* ---- trie ---- */

void trie_make(struct trie *t, size_t bytes, struct arena *a)
{
    size_t n = power_of_two(bytes * 2 + 1);
    *t = (struct trie){
        .edges = NEW_N(a, struct trie_edge, n), .mask = n - 1, .n = 1, .most = (uint32_t)bytes + 1};
    t->values = NEW_N(a, int32_t, bytes + 1);
    memset(t->values, 0xFF, (bytes + 1) * sizeof *t->values);
}

static struct trie_edge *edge_of(const struct trie *t, uint32_t node, unsigned char byte)
{
    uint32_t key = node << 8 | byte;
    for (size_t i = (uint64_t)key * 0x9E3779B97F4A7C15u >> 20 & t->mask;; i = (i + 1) & t->mask)
        if (!t->edges[i].child || t->edges[i].key == key) return &t->edges[i];
}

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte)
{
    return node == 0 ? t->root[byte] : edge_of(t, node, byte)->child;
}

bool trie_add(struct trie *t, struct text key, int32_t value)
{
    uint32_t node = 0;
    for (size_t i = 0; i < key.n; i++) {
        unsigned char byte = (unsigned char)key.p[i];
        struct trie_edge *e = edge_of(t, node, byte);
        if (!e->child) {
            BUG_IF(t->n >= t->most);
            *e = (struct trie_edge){node << 8 | byte, t->n++};
            if (node == 0) t->root[byte] = e->child;
        }
        node = e->child;
    }
    if (t->values[node] >= 0) return false;
    t->values[node] = value;
    return true;
}

int32_t trie_longest(const struct trie *t, const char *p, size_t n, size_t *length)
{
    int32_t value = -1;
    uint32_t node = 0;
    *length = 0;
    for (size_t i = 0; i < n && (node = trie_step(t, node, (unsigned char)p[i])) != 0; i++)
        if (t->values[node] >= 0) {
            value = t->values[node];
            *length = i + 1;
        }
    return value;
}

/* ---- the byte alphabet ---- */

/* Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 and what follows. */
static bool stands_for_itself(int32_t c)
{
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

static int32_t alphabet_of(unsigned char byte)
{
    if (stands_for_itself(byte)) return byte;
    if (byte <= 0x20) return 0x100 + byte;
    return byte == 0xAD ? 0x143 : 0x121 + (byte - 0x7F);
}

void alphabet_put(struct buf *out, unsigned char byte)
{
    char bytes[4];
    buf_put(out, bytes, (size_t)utf8_encode(alphabet_of(byte), bytes));
}

bool alphabet_bytes(struct buf *out, struct text piece)
{
    for (size_t i = 0; i < piece.n;) {
        int32_t c;
        i += (size_t)utf8_decode(piece.p + i, piece.n - i, &c);
        int32_t byte = stands_for_itself(c) ? c : c == 0x143 ? 0xAD : c >= 0x121 ? c - 0x121 + 0x7F : c - 0x100;
        if (c < 0 || byte < 0 || byte > 255 || alphabet_of((unsigned char)byte) != c) return false;
        char raw = (char)byte;
        buf_put(out, &raw, 1);
    }
    return true;
}

const char *shown(struct arena *a, struct text t)
{
    enum { SHOWN_MOST = 40 };
    struct buf b = buf_make(a);
    buf_put(&b, "\"", 1);
    struct text some = {t.p, t.n > SHOWN_MOST ? SHOWN_MOST : t.n};
    some.n -= t.n > SHOWN_MOST ? utf8_unfinished(some) : 0;
    text_safe(&b, some, false);
    buf_printf(&b, "%s\"", t.n > SHOWN_MOST ? "..." : "");
    return b.p;
}
