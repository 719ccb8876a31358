/* t_stream.c - windows: shares, bins, packing, order, hold-out, and batches that keep documents
 * apart. */
#include "tests/data/kit.h"
#include "engine/data/stream.h"
#include <math.h>

#define LENGTH 64

static struct tokenizer *tok;
static struct source big, small, chats; /* text of 900 rows, of 60 rows; questions with answers */
static struct data_settings s;

/* A row's text says which row it is and is between 3 and 50 letters long. */
static char *text_rows(const char *name, int n, char letter)
{
    struct buf b = buf_make(&a);
    for (int i = 0; i < n; i++) {
        int length = 3 + (int)(rand_at(5, (uint64_t)i) % 40);
        buf_printf(&b, "{\"text\": \"%c%d:", letter, i);
        for (int k = 0; k < length; k++) buf_put(&b, &letter, 1);
        buf_printf(&b, "\", \"category\": \"%s\"}\n", i % 10 < 7 ? "common" : "rare");
    }
    return write_file(name, b.p);
}

static int start(void **state)
{
    if (kit_start(state)) return 1;
    tok = bytes_tokenizer("bytes", false);
    s = settings(tok, "qa", LENGTH, PACKING_BFD);
    s.holdout = 0.1;
    struct source_spec spec = spec_of(text_rows("big.jsonl", 900, 'b'));
    big = prepared(&spec, &s);
    spec = spec_of(text_rows("small.jsonl", 60, 's'));
    small = prepared(&spec, &s);
    struct buf b = buf_make(&a);
    for (int i = 0; i < 200; i++)
        buf_printf(&b, "{\"prompt\": \"q%d\", \"completion\": \"answer %d\"}\n", i, i);
    spec = spec_of(write_file("chats.jsonl", b.p));
    chats = prepared(&spec, &s);
    return 0;
}

static int stop(void **state)
{
    source_close(&big);
    source_close(&small);
    source_close(&chats);
    return kit_stop(state);
}

static const enum packing_kind kinds[] = {PACKING_NONE, PACKING_BFD, PACKING_SPLICE};

static void every_window_fits_and_every_token_is_there_once(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int bins = 0; bins <= 10; bins += 10) {
            struct data_settings t = s;
            t.packing = kinds[k];
            struct mix mix = {&big, 1};
            struct stream x = streamed(
                &(struct stream_spec){
                    .mix = &mix, .n_mix = 1, .bins = bins, .shuffle = true, .seed = 3},
                &t);
            const struct windows *w = &x.plan->windows;
            uint8_t *seen = NEW_N(&a, uint8_t, big.cache->n_tokens);
            int64_t tokens = 0, trained = 0;
            for (int64_t i = 0; i < x.windows; i++) {
                int n = 0;
                for (int64_t p = w->first[i]; p < w->first[i + 1]; p++) {
                    const struct part_of *part = &w->parts[p];
                    for (int j = 0; j < part->n; j++)
                        seen[big.cache->documents[part->document].at + part->from + j]++;
                    n += part->n;
                }
                assert_in_range(n, 1, LENGTH);
                tokens += n;
                trained += stream_trained(&x, i, 1);
            }
            int64_t want = 0;
            for (int64_t d = 0; d < big.cache->n_documents; d++)
                for (int j = 0; j < big.cache->documents[d].tokens;
                     j++, want += !big.cache->held[d])
                    assert_int_equal(seen[big.cache->documents[d].at + j], !big.cache->held[d]);
            want = 0;
            for (int64_t d = 0; d < big.cache->n_documents; d++)
                want += big.cache->held[d] ? 0 : big.cache->documents[d].tokens;
            assert_int_equal(tokens, want);
            assert_int_equal(x.tokens, want);
            assert_int_equal(x.trained, trained);
            assert_int_equal(x.lost, 0);
            assert_true(kinds[k] == PACKING_SPLICE ? x.cut > 0 : x.cut == 0);
            if (kinds[k] == PACKING_NONE) assert_int_equal(x.windows, big.documents);
        }
}

static void best_fit_fills_windows_and_splice_fills_all_but_the_last(void **state)
{
    (void)state;
    struct mix mix = {&big, 1};
    struct data_settings t = s;
    struct stream x = streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1, .shuffle = true}, &t);
    assert_true((double)x.tokens / (double)(x.windows * LENGTH) > 0.97);
    t.packing = PACKING_SPLICE;
    x = streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1, .shuffle = true}, &t);
    assert_int_equal(x.windows, (x.tokens + LENGTH - 1) / LENGTH);
}

static void sources_give_their_share_of_tokens(void **state)
{
    (void)state;
    static const double shares[][3] = {
        {0.8, 0.2, 0}, {0.5, 0.5, 0}, {1, 2, 1}, {0.1, 0.1, 9.8}, {0, 1, 0}};
    for (size_t i = 0; i < COUNT(shares); i++)
        for (int bins = 1; bins <= 10; bins += 9) {
            struct mix mix[] = {{&big, shares[i][0]},
                                {&small, shares[i][1]},
                                {&chats, shares[i][2]}};
            struct stream x = streamed(
                &(struct stream_spec){
                    .mix = mix, .n_mix = 3, .bins = bins, .shuffle = true, .seed = 9, .epochs = 2},
                &s);
            double sum = shares[i][0] + shares[i][1] + shares[i][2], mass = 0, given = 0;
            for (int k = 0; k < 3; k++)
                for (int64_t d = 0; mix[k].share > 0 && d < mix[k].source->cache->n_documents; d++)
                    mass += mix[k].source->cache->held[d]
                                ? 0
                                : mix[k].source->cache->documents[d].tokens;
            for (int k = 0; k < 3; k++) {
                double want = 2 * mass * shares[i][k] / sum;
                assert_true(fabs((double)x.source_tokens[k] - want) <= LENGTH);
                assert_true((x.source_epochs[k] > 0) == (shares[i][k] > 0));
                given += (double)x.source_tokens[k];
            }
            assert_true(given == (double)x.tokens);
        }
}

static void bins_have_equal_mass_and_the_same_mix(void **state)
{
    (void)state;
    struct mix mix[] = {{&big, 0.7}, {&small, 0.3}};
    struct stream x = streamed(
        &(struct stream_spec){.mix = mix, .n_mix = 2, .bins = 10, .shuffle = true, .seed = 1}, &s);
    const struct windows *w = &x.plan->windows;
    int64_t mass[2][10] = {{0}}, rare[10] = {0}, longs[10] = {0}, all[2] = {0}, all_rare = 0,
            all_longs = 0;
    assert_int_equal(x.buckets, 10);
    assert_int_equal(x.bucket_start[10], x.windows);
    for (int b = 0; b < 10; b++)
        for (int64_t p = w->first[x.bucket_start[b]]; p < w->first[x.bucket_start[b + 1]]; p++) {
            const struct part_of *part = &w->parts[p];
            const struct document *d = &mix[part->source].source->cache->documents[part->document];
            mass[part->source][b] += part->n;
            all[part->source] += part->n;
            if (part->source) continue;
            bool is_rare = strcmp(big.cache->categories[d->category], "rare") == 0;
            rare[b] += is_rare * part->n;
            all_rare += is_rare * part->n;
            longs[b] += part->n > 30;
            all_longs += part->n > 30;
        }
    assert_true(all_rare > 0 && all_longs > 0);
    for (int b = 0; b < 10; b++) {
        for (int k = 0; k < 2; k++)
            assert_true(fabs((double)mass[k][b] - (double)all[k] / 10) <= (k ? LENGTH : 16));
        assert_true(fabs((double)rare[b] - (double)all_rare / 10) <= 16);
        assert_true(fabs((double)longs[b] - (double)all_longs / 10) <= 2);
        assert_true(x.bucket_start[b + 1] > x.bucket_start[b]);
    }
}

static void limits_end_a_stage(void **state)
{
    (void)state;
    struct mix mix[] = {{&big, 0.7}, {&small, 0.3}};
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int bins = 1; bins <= 10; bins += 9)
            for (int64_t most = 20; most <= 2000; most *= 10) {
                struct data_settings t = s;
                t.packing = kinds[k];
                struct stream x = streamed(
                    &(struct stream_spec){
                        .mix = mix, .n_mix = 2, .bins = bins, .shuffle = true, .max_windows = most},
                    &t);
                assert_int_equal(x.windows, most);
                int64_t least = most, largest = 0;
                for (int b = 0; b < x.buckets; b++) {
                    int64_t n = x.bucket_start[b + 1] - x.bucket_start[b];
                    if (n < least) least = n;
                    if (n > largest) largest = n;
                }
                assert_true(most < 200 || largest - least <= (k == 0 ? most / 20 : 3));
            }
    struct stream x =
        streamed(&(struct stream_spec){.mix = mix, .n_mix = 2, .max_tokens = 5000, .epochs = 3},
                 &s);
    assert_true(llabs(x.tokens - 5000) <= 2 * LENGTH);
    x = streamed(
        &(struct stream_spec){.mix = mix, .n_mix = 2, .epochs = 0.5, .max_windows = 100000}, &s);
    struct stream y = streamed(&(struct stream_spec){.mix = mix, .n_mix = 2, .epochs = 1}, &s);
    assert_true(llabs(2 * x.tokens - y.tokens) <= 4 * LENGTH);
}

static uint64_t hash_of(const struct stream *x)
{
    const struct windows *w = &x->plan->windows;
    return hash64(w->parts, (size_t)w->n_parts * sizeof *w->parts,
                  hash64(w->first, (size_t)(w->n + 1) * sizeof *w->first, 0));
}

static void a_stream_is_a_function_of_its_settings(void **state)
{
    (void)state;
    struct mix mix[] = {{&big, 0.7}, {&small, 0.3}};
    struct stream_spec spec = {.mix = mix, .n_mix = 2, .bins = 10, .shuffle = true, .seed = 11};
    struct stream x = streamed(&spec, &s), y = streamed(&spec, &s);
    assert_true(hash_of(&x) == hash_of(&y));
    spec.seed = 12;
    y = streamed(&spec, &s);
    assert_true(hash_of(&x) != hash_of(&y));
    assert_true(x.tokens - y.tokens <= 2 * LENGTH && y.tokens - x.tokens <= 2 * LENGTH);
}

static void passes_differ_and_each_sees_every_row(void **state)
{
    (void)state;
    struct mix mix = {&small, 1};
    struct data_settings t = s;
    t.packing = PACKING_NONE;
    struct stream x =
        streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1, .epochs = 3, .shuffle = true}, &t);
    int *seen = NEW_N(&a, int, small.cache->n_documents);
    for (int64_t i = 0; i < x.plan->windows.n_parts; i++) seen[x.plan->windows.parts[i].document]++;
    for (int64_t d = 0; d < small.cache->n_documents; d++)
        assert_int_equal(seen[d], small.cache->held[d] ? 0 : 3);
    assert_true(x.source_epochs[0] == 3);
}

static void without_shuffling_rows_come_in_file_order(void **state)
{
    (void)state;
    struct mix mix[] = {{&big, 0.5}, {&small, 0.5}};
    struct data_settings t = s;
    for (size_t k = 0; k < 2; k++) {
        t.packing = k ? PACKING_SPLICE : PACKING_NONE;
        struct stream x = streamed(&(struct stream_spec){.mix = mix, .n_mix = 2}, &t);
        int32_t last[2] = {-1, -1}, switches = 0;
        for (int64_t i = 0; i < x.plan->windows.n_parts; i++) {
            const struct part_of *p = &x.plan->windows.parts[i];
            bool again = p->source == 1 && p->document < last[1]; /* small is seen several times */
            if (!again) assert_true(p->document >= last[p->source]);
            last[p->source] = p->document;
            switches += i > 0 && x.plan->windows.parts[i - 1].source != p->source;
        }
        assert_true(switches > 100);
    }
}

static void held_out_rows_are_the_same_and_never_trained(void **state)
{
    (void)state;
    struct mix mix[] = {{&big, 0.7}, {&small, 0.3}};
    struct data_settings t = s;
    t.packing = PACKING_NONE;
    struct stream held = streamed(&(struct stream_spec){.mix = mix,
                                                        .n_mix = 2,
                                                        .held_out = true,
                                                        .bins = 10,
                                                        .shuffle = true,
                                                        .max_windows = 1},
                                  &t);
    struct stream train =
        streamed(&(struct stream_spec){.mix = mix, .n_mix = 2, .shuffle = true}, &t);
    assert_int_equal(held.windows, big.held_out + small.held_out);
    assert_in_range(big.held_out, 60, 120);
    assert_int_equal(big.report.rows_held_out, big.held_out);
    for (int64_t i = 0; i < held.plan->windows.n_parts; i++)
        assert_true(mix[held.plan->windows.parts[i].source]
                        .source->cache->held[held.plan->windows.parts[i].document]);
    for (int64_t i = 0; i < train.plan->windows.n_parts; i++)
        assert_false(mix[train.plan->windows.parts[i].source]
                         .source->cache->held[train.plan->windows.parts[i].document]);
    /* The same rows in another file, in another order, are held out again; a larger share holds out
     * more. */
    struct source_spec spec = spec_of(big.spec.path);
    spec.max_rows = 450;
    struct source half = prepared(&spec, &s);
    for (int64_t d = 0; d < half.cache->n_documents; d++)
        assert_int_equal(half.cache->held[d], big.cache->held[d]);
    source_close(&half);
    t.holdout = 0.2;
    spec.max_rows = 0;
    struct source more = prepared(&spec, &t);
    for (int64_t d = 0; d < more.cache->n_documents; d++)
        assert_true(more.cache->held[d] >= big.cache->held[d]);
    assert_true(more.held_out > big.held_out);
    source_close(&more);
    t.holdout = 0;
    struct source none = prepared(&spec, &t);
    mix[0].source = &none;
    held = streamed(&(struct stream_spec){.mix = mix, .n_mix = 1, .held_out = true}, &t);
    assert_int_equal(held.windows, 0);
    source_close(&none);
}

/* Positions begin again in each document, no label crosses a border, and counts are what they say.
 */
static void batches_keep_documents_apart(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct data_settings t = s;
        t.packing = kinds[k];
        struct mix mix[] = {{&big, 0.5}, {&chats, 0.5}};
        struct stream x =
            streamed(&(struct stream_spec){.mix = mix, .n_mix = 2, .shuffle = true, .seed = 2}, &t);
        struct batch b = batch_make(&a, 5 * LENGTH);
        const struct windows *w = &x.plan->windows;
        for (int64_t first = 0; first + 5 <= x.windows; first += 5) {
            assert_true(stream_batch(&x, first, 5, &b, &error));
            int trained = 0, longest = 0;
            assert_int_equal(b.n_seqs, w->first[first + 5] - w->first[first]);
            assert_int_equal(b.start[0], 0);
            assert_int_equal(b.start[b.n_seqs], b.rows);
            for (int q = 0; q < b.n_seqs; q++) {
                const struct part_of *p = &w->parts[w->first[first] + q];
                const struct token_cache *c = mix[p->source].source->cache;
                uint32_t tokens[LENGTH];
                int n = b.start[q + 1] - b.start[q];
                assert_int_equal(n, p->n);
                assert_true(cache_read(c, p->document, p->from, p->n, tokens, &error));
                for (int i = 0; i < n; i++) {
                    int row = b.start[q] + i;
                    bool learns = i + 1 < n && tokens[i + 1] & TRAINED;
                    assert_int_equal(b.pos[row], i);
                    assert_int_equal(b.ids[row], tokens[i] & ~TRAINED);
                    assert_int_equal(b.targets[row], learns ? (int)(tokens[i + 1] & ~TRAINED) : -1);
                    trained += learns;
                }
                if (n > longest) longest = n;
            }
            assert_int_equal(b.trained, trained);
            assert_int_equal(b.longest, longest);
            assert_int_equal(stream_trained(&x, first, 5), trained);
        }
    }
}

/* Stages may pack differently from one source: documents over the window are cut, or go on in the
 * next. */
static void long_documents_are_cut_or_spliced_by_each_stage(void **state)
{
    (void)state;
    struct buf b = buf_make(&a);
    for (int i = 0; i < 20; i++)
        buf_printf(&b, "{\"prompt\": \"%0*d\", \"completion\": \"%0*d\"}\n", i * 5 + 1, 1,
                   200 - i * 5, 2);
    struct source_spec spec = spec_of(write_file("longs.jsonl", b.p));
    struct data_settings t = s;
    t.holdout = 0;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        t.packing = kinds[k];
        struct source longs = prepared(&spec, &t);
        for (size_t l = 0; l < COUNT(kinds); l++) {
            struct data_settings u = t;
            struct mix mix = {&longs, 1};
            struct batch batch = batch_make(&a, LENGTH);
            u.packing = kinds[l];
            struct stream x =
                streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1, .shuffle = true}, &u);
            for (int64_t w = 0; w < x.windows; w++) {
                assert_true(stream_batch(&x, w, 1, &batch, &error));
                assert_int_equal(batch.trained, stream_trained(&x, w, 1));
                assert_in_range(batch.rows, 1, LENGTH);
            }
            if (kinds[l] == PACKING_SPLICE) assert_true(x.tokens > 20 * 200);
            else assert_true(x.tokens < 20 * LENGTH);
        }
        if (kinds[k] == PACKING_SPLICE)
            assert_int_equal(longs.report.rows_dropped + longs.report.rows_truncated, 0);
        else assert_true(longs.report.rows_dropped > 0 && longs.report.rows_truncated == 20);
        assert_int_equal(longs.documents, 20 - longs.report.rows_dropped);
        source_close(&longs);
    }
}

/* A text over the window is split evenly and nothing of it is lost. */
static void long_texts_are_split_into_documents(void **state)
{
    (void)state;
    struct source_spec spec = spec_of(write_file("book.txt", arena_printf(&a, "%0500d", 7)));
    struct data_settings t = s;
    t.holdout = 0;
    struct source book = prepared(&spec, &t);
    struct mix mix = {&book, 1};
    for (size_t k = 0; k < 2; k++) {
        t.packing = kinds[k];
        struct stream x = streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1}, &t);
        int at = 0;
        assert_int_equal(x.tokens, 501);
        assert_int_equal(x.windows, 8);
        assert_int_equal(x.trained, 501 - 8);
        for (int64_t i = 0; i < x.plan->windows.n_parts; i++) at += x.plan->windows.parts[i].n;
        assert_int_equal(at, 501);
        for (int64_t w = 0; w < x.windows; w++) assert_in_range(stream_trained(&x, w, 1), 61, 63);
    }
    assert_int_equal(book.report.rows_truncated, 0);
    assert_int_equal(book.report.tokens_trained, 501 - 8);
    source_close(&book);
}

static void a_window_is_shown_with_what_is_trained(void **state)
{
    (void)state;
    struct source_spec spec =
        spec_of(write_file("two.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": "
                                        "\"cc\", \"completion\": \"d\"}\n"));
    spec.name = "two";
    struct source two = prepared(&spec, &s);
    struct data_settings t = s;
    t.packing = PACKING_SPLICE;
    struct mix mix = {&two, 1};
    for (int64_t d = 0; d < 2; d++) assert_false(two.cache->held[d]);
    struct stream x = streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1}, &t);
    struct window_view v;
    assert_int_equal(x.windows, 1);
    assert_string_equal(shown(&x, 0), "Question: a\nAnswer:[ b</s>]/Question: cc\nAnswer:[ d</s>]");
    assert_true(stream_view(&x, 0, &v, &a, &error));
    assert_string_equal(v.source, "two");
    assert_int_equal(v.documents, 2);
    assert_int_equal(v.trained, 6);
    assert_int_equal(v.tokens, x.tokens);
    struct mix both[] = {{&two, 0.5}, {&small, 0.5}};
    x = streamed(&(struct stream_spec){.mix = both, .n_mix = 2, .bins = 3}, &t);
    assert_true(stream_view(&x, x.windows - 1, &v, &a, &error));
    assert_int_equal(v.bucket, 2);
    source_close(&two);
}

static void stages_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct stream out;
    struct data_settings t = s;
    struct source_spec spec = spec_of(small.spec.path);
    t.holdout = 1;
    struct source held = prepared(&spec, &t);
    const struct {
        struct mix mix;
        struct stream_spec spec;
        const char *part;
    } rows[] = {{{&held, 1}, {.n_mix = 1}, "are held out"},
                {{&small, 0}, {.n_mix = 1}, "no dataset with a share above 0"},
                {{&small, -1}, {.n_mix = 1}, "must be 0 or more"},
                {{&small, NAN}, {.n_mix = 1}, "must be 0 or more"},
                {{&small, 1}, {.n_mix = 1, .bins = 5000}, "bins is 5000"},
                {{&small, 1}, {.n_mix = 1, .epochs = 1e12}, "documents"},
                {{&small, 1}, {.n_mix = 1, .max_tokens = 1000000000000000}, "documents"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stream_spec x = rows[i].spec;
        x.mix = &rows[i].mix;
        assert_false(stream_make(&out, &x, &s, &a, &error));
        says(error.text, rows[i].part);
    }
    source_close(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_window_fits_and_every_token_is_there_once),
        cmocka_unit_test(best_fit_fills_windows_and_splice_fills_all_but_the_last),
        cmocka_unit_test(sources_give_their_share_of_tokens),
        cmocka_unit_test(bins_have_equal_mass_and_the_same_mix),
        cmocka_unit_test(limits_end_a_stage),
        cmocka_unit_test(a_stream_is_a_function_of_its_settings),
        cmocka_unit_test(passes_differ_and_each_sees_every_row),
        cmocka_unit_test(without_shuffling_rows_come_in_file_order),
        cmocka_unit_test(held_out_rows_are_the_same_and_never_trained),
        cmocka_unit_test(batches_keep_documents_apart),
        cmocka_unit_test(long_documents_are_cut_or_spliced_by_each_stage),
        cmocka_unit_test(long_texts_are_split_into_documents),
        cmocka_unit_test(a_window_is_shown_with_what_is_trained),
        cmocka_unit_test(stages_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
