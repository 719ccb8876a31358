/* pack.c - documents into windows of at most max_length tokens.
 *
 * Best fit decreasing: the longest documents first, each into the fullest window that still has
 * room for it. Windows are kept in lists by the room they have, and a bit for each list that is not
 * empty, so the best one is found without looking at the windows. */
#include "engine/data/stream.h"
#include <string.h>

void windows_start(struct windows *w, struct arena *a)
{
    *w = (struct windows){.a = a};
    ROOM(a, w->first, w->n, w->cap);
    w->first[0] = 0;
}

void windows_add(struct windows *w, struct part_of part)
{
    ROOM(w->a, w->parts, w->n_parts, w->cap_parts);
    w->parts[w->n_parts++] = part;
}

void windows_end_one(struct windows *w)
{
    if (w->first[w->n] == w->n_parts) return;
    w->n++;
    ROOM(w->a, w->first, w->n, w->cap);
    w->first[w->n] = w->n_parts;
}

static void pack_none(struct windows *out, const struct part_of *d, int64_t n, int max_length,
                      int64_t *cut, struct arena *scratch)
{
    (void)max_length, (void)cut, (void)scratch;
    for (int64_t i = 0; i < n; i++) {
        windows_add(out, d[i]);
        windows_end_one(out);
    }
}

static void pack_splice(struct windows *out, const struct part_of *d, int64_t n, int max_length,
                        int64_t *cut, struct arena *scratch)
{
    (void)scratch;
    int32_t room = max_length;
    for (int64_t i = 0; i < n; i++)
        for (struct part_of rest = d[i]; rest.n > 0;) {
            struct part_of piece = rest;
            if (piece.n > room) piece.n = room;
            windows_add(out, piece);
            rest.from += piece.n;
            rest.n -= piece.n;
            room -= piece.n;
            if (rest.n > 0 && piece.from == d[i].from) ++*cut;
            if (room > 0) continue;
            windows_end_one(out);
            room = max_length;
        }
    windows_end_one(out);
}

/* Indices by falling length, equal lengths in the order they came: a counting sort. */
static int64_t *by_length(const struct part_of *d, int64_t n, int max_length, struct arena *scratch)
{
    int64_t *start = NEW_N(scratch, int64_t, max_length + 2), *order = NEW_N(scratch, int64_t, n);
    for (int64_t i = 0; i < n; i++) start[max_length - d[i].n + 1]++;
    for (int i = 0; i <= max_length; i++) start[i + 1] += start[i];
    for (int64_t i = 0; i < n; i++) order[start[max_length - d[i].n]++] = i;
    return order;
}

/* Windows by the room they have: head[room] is the newest window, next[] the one after it, -1 the
 * end. */
struct rooms {
    int64_t *head, *next;
    uint64_t *used;
    int n_words;
};

static struct rooms rooms_make(int max_length, int64_t n, struct arena *a)
{
    struct rooms r = {NEW_N(a, int64_t, max_length + 1), NEW_N(a, int64_t, n), NULL,
                      max_length / 64 + 1};
    r.used = NEW_N(a, uint64_t, r.n_words);
    for (int i = 0; i <= max_length; i++) r.head[i] = -1;
    return r;
}

static void rooms_put(struct rooms *r, int room, int64_t window)
{
    r->next[window] = r->head[room];
    r->head[room] = window;
    r->used[room / 64] |= 1ull << room % 64;
}

/* Takes the window with the least room of at least `need`; -1 where there is none. */
static int64_t rooms_take(struct rooms *r, int need, int *room)
{
    uint64_t word = r->used[need / 64] & ~0ull << need % 64;
    int i = need / 64;
    while (!word && ++i < r->n_words) word = r->used[i];
    if (!word) return -1;
    *room = i * 64 + __builtin_ctzll(word);
    int64_t window = r->head[*room];
    r->head[*room] = r->next[window];
    if (r->head[*room] < 0) r->used[*room / 64] &= ~(1ull << *room % 64);
    return window;
}

static void pack_bfd(struct windows *out, const struct part_of *d, int64_t n, int max_length,
                     int64_t *cut, struct arena *scratch)
{
    (void)cut;
    int64_t *order = by_length(d, n, max_length, scratch), windows = 0;
    int64_t *first = NEW_N(scratch, int64_t, n), *last = NEW_N(scratch, int64_t, n),
            *after = NEW_N(scratch, int64_t, n);
    struct rooms rooms = rooms_make(max_length, n, scratch);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = order[k];
        int room = max_length;
        int64_t w = rooms_take(&rooms, d[i].n, &room);
        after[i] = -1;
        if (w < 0) first[w = windows++] = i;
        else after[last[w]] = i;
        last[w] = i;
        rooms_put(&rooms, room - d[i].n, w);
    }
    for (int64_t w = 0; w < windows; w++) {
        for (int64_t i = first[w]; i >= 0; i = after[i]) windows_add(out, d[i]);
        windows_end_one(out);
    }
}

void pack(struct windows *out, enum packing_kind kind, const struct part_of *documents, int64_t n,
          int max_length, int64_t *cut, struct arena *scratch)
{
    static void (*const kinds[])(struct windows *, const struct part_of *, int64_t, int, int64_t *,
                                 struct arena *) = {
        [PACKING_NONE] = pack_none, [PACKING_BFD] = pack_bfd, [PACKING_SPLICE] = pack_splice};
    struct arena_mark m = arena_mark(scratch);
    if (n > 0) kinds[kind](out, documents, n, max_length, cut, scratch);
    arena_back(scratch, m);
}
