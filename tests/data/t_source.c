/* t_source.c - rows of every format as documents with their masks, and the rows that are no good.
 */
#include "tests/data/kit.h"
#include <sys/stat.h>

static struct tokenizer *plain_bytes, *with_bos;

static int start(void **state)
{
    if (kit_start(state)) return 1;
    plain_bytes = bytes_tokenizer("bytes", false);
    with_bos = bytes_tokenizer("bos", true);
    return 0;
}

/* The first windows of a file, one document each, joined by newlines. */
static const char *documents(const char *path, const char *format, const struct data_settings *s,
                             enum train_on on)
{
    struct source_spec spec = spec_of(path);
    spec.format = format;
    spec.train_on = on;
    struct source source = prepared(&spec, s);
    struct mix mix = {&source, 1};
    struct stream stream = streamed(&(struct stream_spec){.mix = &mix, .n_mix = 1}, s);
    struct buf b = buf_make(&a);
    for (int64_t i = 0; i < stream.windows; i++)
        buf_printf(&b, "%s%s", i ? "\n" : "", shown(&stream, i));
    source_close(&source);
    return b.p;
}

static void every_format_is_read_and_found(void **state)
{
    (void)state;
    static const struct {
        const char *format, *row, *want;
    } rows[] = {
        {"text", "{\"text\": \"Hello\"}", "H[ello</s>]"},
        {"alpaca", "{\"instruction\": \"Add\", \"input\": \"1 2\", \"output\": \"3\"}",
         "Question: Add\n1 2\nAnswer:[ 3</s>]"},
        {"alpaca",
         "{\"instruction\": \"Add\", \"input\": \"\", \"output\": \"3\", \"system\": \"S\", "
         "\"history\": [[\"q\", \"r\"]]}",
         "S\nQuestion: q\nAnswer:[ r</s>]Question: Add\nAnswer:[ 3</s>]"},
        {"sharegpt",
         "{\"conversations\": [{\"from\": \"system\", \"value\": \"S\"}, {\"from\": \"human\", "
         "\"value\": \"q\"}, {\"from\": \"gpt\", \"value\": \"r\"}]}",
         "S\nQuestion: q\nAnswer:[ r</s>]"},
        {"messages",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
         "\"content\": \"r\"}]}",
         "Question: q\nAnswer:[ r</s>]"},
        {"messages",
         "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
         "\"q\"}, {\"type\": \"text\", \"value\": \"q\"}]}, "
         "{\"role\": \"assistant\", \"content\": \"r\"}]}",
         "Question: qq\nAnswer:[ r</s>]"},
        {"prompt_completion", "{\"prompt\": \"q\", \"completion\": \"r\"}",
         "Question: q\nAnswer:[ r</s>]"},
        {"prompt_completion",
         "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"completion\": [{\"role\": "
         "\"assistant\", \"content\": \"r\"}]}",
         "Question: q\nAnswer:[ r</s>]"},
        {"colossal", "{\"source\": \"src\", \"target\": \"tgt\", \"category\": \"c\"}",
         "src[tgt</s>]"},
        {"colossal", "{\"source\": \"\", \"target\": \"tgt\", \"category\": \"c\"}", "t[gt</s>]"},
        {"tokens", "{\"input_ids\": [65, 66, 67, 257]}", "A[BC</s>]"},
        {"tokens", "{\"input_ids\": [65, 66, 67, 257], \"labels\": [-100, -100, 67, 257]}",
         "AB[C</s>]"},
    };
    struct data_settings s = settings(plain_bytes, "qa", 256, PACKING_NONE);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *path = write_file(arena_printf(&a, "f%zu.jsonl", i), rows[i].row);
        assert_string_equal(documents(path, rows[i].format, &s, TRAIN_ON_ANSWERS), rows[i].want);
        assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS), rows[i].want);
        struct source_spec spec = spec_of(path);
        struct source source = prepared(&spec, &s);
        assert_string_equal(source.report.format, rows[i].format);
        source_close(&source);
        char *array = write_file(arena_printf(&a, "f%zu.json", i),
                                 arena_printf(&a, "\n [ %s ,\n%s\n]\n", rows[i].row, rows[i].row));
        assert_string_equal(documents(array, "auto", &s, TRAIN_ON_ANSWERS),
                            arena_printf(&a, "%s\n%s", rows[i].want, rows[i].want));
    }
}

static void plain_text_is_documents_by_blank_lines(void **state)
{
    (void)state;
    struct data_settings s = settings(with_bos, "qa", 256, PACKING_NONE);
    char *path = write_file("a.txt", "\n\none\ntwo\n \n\nthree\r\n\r\nfour {\"text\": 1}");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS),
                        "<s>[one\ntwo</s>]\n<s>[three</s>]\n<s>[four {\"text\": 1}</s>]");
    path = write_file("b.txt", "\xEF\xBB\xBFone\ntwo");
    assert_string_equal(documents(path, "text", &s, TRAIN_ON_ANSWERS), "<s>[one\ntwo</s>]");
    path = write_file("no-extension", "plain words");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS), "<s>[plain words</s>]");
}

static void train_on_decides_what_is_learnt(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "chatml", 256, PACKING_NONE);
    char *path = write_file("turns.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": "
                                           "\"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
                                           "{\"role\": \"user\", \"content\": \"c\"}, {\"role\": "
                                           "\"assistant\", \"content\": \"d\"}]}");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS),
                        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n<|im_"
                        "start|>user\nc<|im_end|>\n<|im_start|>assistant\n[d<|im_end|>]\n");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_LAST_ANSWER),
                        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_"
                        "start|>user\nc<|im_end|>\n<|im_start|>assistant\n[d<|im_end|>]\n");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ALL),
                        "<|im_start|>[user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_"
                        "start|>user\nc<|im_end|>\n<|im_start|>assistant\nd<|im_end|>\n]");
    path = write_file("colossal.jsonl",
                      "{\"source\": \"src\", \"target\": \"tgt\", \"category\": \"c\"}");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ALL), "s[rctgt</s>]");
}

static int64_t count_id(const int32_t *p, int64_t n, int32_t id)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) found += p[i] == id;
    return found;
}

/* What is learnt, decoded, is the answers with their ends; what chat asks with is how training
 * begins. */
static void chats_are_asked_as_they_were_taught(void **state)
{
    (void)state;
    static const char *const names[] = {"plain",  "qa",     "alpaca", "llama2",
                                        "llama3", "chatml", "vicuna", "zephyr"};
    static const char *const ends[] = {"</s>",       "</s>",       "</s>", " </s>",
                                       "<|eot_id|>", "<|im_end|>", "</s>", "</s>"};
    static const char *const texts[] = {"Paris.", "红色的房子",       "two\nlines",
                                        "a b  c", "\xF0\x9F\x98\x80", "x"};
    int cases = 0;
    for (size_t t = 0; t < COUNT(names); t++)
        for (size_t i = 0; i < COUNT(texts); i++)
            for (int turns = 1; turns <= 3; turns++)
                for (int bos = 0; bos < 2; bos++, cases++) {
                    struct tokenizer *tok = bos ? with_bos : plain_bytes;
                    struct template *template = named_template(names[t]);
                    struct message m[6];
                    struct buf want = buf_make(&a), got = buf_make(&a);
                    bool space = strcmp(names[t], "qa") == 0 || strcmp(names[t], "llama2") == 0 ||
                                 strcmp(names[t], "vicuna") == 0;
                    for (int k = 0; k < turns; k++) {
                        m[2 * k] =
                            (struct message){TEXT("user"),
                                             text_of(texts[(i + (size_t)k + 1) % COUNT(texts)])};
                        m[2 * k + 1] =
                            (struct message){TEXT("assistant"),
                                             text_of(texts[(i + (size_t)k) % COUNT(texts)])};
                        buf_printf(&want, "%s%s%s", space ? " " : "", m[2 * k + 1].content.p,
                                   ends[t]);
                    }
                    struct conversation c = {.kind = TALK, .messages = m, .n = 2 * turns};
                    struct arena scratch = arena_make(0);
                    struct ids taught = {.a = &a}, asked = {.a = &a}, learnt = {.a = &a};
                    if (!conversation_encode(&taught, &c, tok, template, TRAIN_ON_ANSWERS, NULL,
                                             &scratch, &error))
                        stop_with("%s", error.text);
                    if (!prompt_encode(&asked, tok, template, m, 2 * turns - 1, &error))
                        stop_with("%s", error.text);
                    for (int64_t k = 0; k < taught.n; k++) {
                        bool learns = (uint32_t)taught.p[k] & TRAINED;
                        taught.p[k] &= (int32_t)~TRAINED;
                        if (learns) ids_put(&learnt, taught.p[k]);
                    }
                    tokenizer_decode(tok, &got, learnt.p, learnt.n, false);
                    assert_string_equal(got.p, want.p);
                    assert_true(asked.n < taught.n);
                    assert_memory_equal(asked.p, taught.p, (size_t)asked.n * sizeof *asked.p);
                    assert_in_range(count_id(taught.p, taught.n, BOS), 0,
                                    strcmp(names[t], "llama2") == 0 ? turns : 1);
                    if (!bos) assert_int_equal(count_id(taught.p, taught.n, BOS), 0);
                    arena_drop(&scratch);
                }
    assert_int_equal(cases, 8 * 6 * 3 * 2);
}

static void bos_never_comes_twice(void **state)
{
    (void)state;
    struct data_settings s = settings(with_bos, "plain", 256, PACKING_NONE);
    char *path =
        write_file("bos.jsonl", "{\"text\": \"<s>already</s>\"}\n{\"text\": \"<s><s>twice\"}");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS),
                        "<s>[already</s>]\n<s>[twice</s>]");
    path = write_file("bos2.jsonl", "{\"prompt\": \"<s>q\", \"completion\": \"r\"}");
    assert_string_equal(documents(path, "auto", &s, TRAIN_ON_ANSWERS), "<s>q[r</s>]");
}

static const char *row_refusal(const char *name, const char *row)
{
    struct data_settings s = settings(plain_bytes, "qa", 256, PACKING_NONE);
    struct source_spec spec = spec_of(write_file(name, row));
    return unprepared(&spec, &s);
}

static void bad_rows_are_named_by_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *row, *part;
    } rows[] = {
        {"{\"text\": \"a\"}\n{\"text\": 5}", "bad.jsonl:2: \"text\""},
        {"{\"text\": \"a\"}\n\n\n{\"text\"}", "bad.jsonl:4"},
        {"{\"text\": \"a\"}\n[1]", "bad.jsonl:2: a row must be an object"},
        {"{\"text\": \"a\"}\n{\"txt\": \"b\"}", "no format that is known"},
        {"{\"text\": \"a\xFF\"}", "bad.jsonl:1"},
        {"{\"text\": \"a\", \"text\": \"b\"}", "bad.jsonl:1"},
        {"{\"text\": \"\\ud800\"}", "bad.jsonl:1"},
        {"{\"messages\": [{\"role\": \"wizard\", \"content\": \"x\"}]}",
         "role \"wizard\" is not known"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "no text as its content"},
        {"{\"messages\": \"x\"}", "list of messages"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"url\": "
         "\"x\"}]}]}",
         "type \"image_url\""},
        {"{\"messages\": [5]}", "turn 1"},
        {"{\"conversations\": [{\"from\": \"human\"}]}", "no text as its content"},
        {"{\"instruction\": \"a\", \"output\": 4}", "\"output\""},
        {"{\"prompt\": \"a\", \"completion\": 4}", "\"completion\""},
        {"{\"input_ids\": [1, 260]}", "the tokenizer's ids are 0 to 259"},
        {"{\"input_ids\": [1, -1]}", "no token id"},
        {"{\"input_ids\": [1, 2], \"labels\": [1]}", "as long as"},
        {"{\"input_ids\": [1, 2], \"labels\": [1, 5]}", "is 5 where"},
        {"{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"x\"]]}",
         "pairs of two texts"},
        {"", "is empty (0 bytes)"},
        {" \n \n", "has no rows"},
        {"[]", "has no rows"},
        {"[{\"text\": \"a\"}", "cut off"},
        {"[{\"text\": \"a\"} {\"text\": \"a\"}]", "a comma"},
        {"[{\"text\": \"a\"},]", "an element"},
        {"[{\"text\": \"a\"}] x", "end of the file"},
        {"[{\"text\": \"a\"", "cut off"},
        {"not json", "bad JSON"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        says(row_refusal("bad.jsonl", rows[i].row), rows[i].part);
    says(row_refusal("bad.txt", "good\n\nb\xC0\xAF"
                                "d"),
         "bad.txt:3: byte 0xc0, 1 bytes on, is not UTF-8");
}

static void one_bad_row_in_a_hundred_is_counted_and_two_stop(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 256, PACKING_NONE);
    struct buf b = buf_make(&a);
    for (int i = 0; i < 198; i++) buf_printf(&b, "{\"text\": \"row %d\"}\n", i);
    buf_printf(&b, "{\"text\": 1}\n{\"text\": \"\x1b[2J\"}\n");
    struct source_spec spec = spec_of(write_file("some.jsonl", b.p));
    struct source source = prepared(&spec, &s);
    assert_int_equal(source.report.rows, 200);
    assert_int_equal(source.report.rows_bad, 2);
    assert_int_equal(source.report.n_bad, 2);
    says(source.report.bad[0], "some.jsonl:199: \"text\"");
    says(source.report.bad[1], "some.jsonl:200");
    assert_null(strchr(source.report.bad[1], 0x1b));
    source_close(&source);
    buf_printf(&b, "{\"text\": 1}\n");
    spec = spec_of(write_file("more.jsonl", b.p));
    says(unprepared(&spec, &s), "3 of 201 rows are bad (1.5 %; at most 1 % may be)");
    says(error.text, "more.jsonl:199");
}

static void nothing_to_learn_is_refused_with_the_first_row(void **state)
{
    (void)state;
    says(row_refusal("nothing.jsonl",
                     "{\"messages\": [{\"role\": \"user\", \"content\": \"only a question\"}]}"),
         "nothing to learn");
    says(error.text, "Question: only a question");
    says(error.text, "train_on answers");
    struct data_settings s = settings(plain_bytes, "qa", 8, PACKING_BFD);
    struct source_spec spec = spec_of(write_file(
        "cut.jsonl", "{\"prompt\": \"a long question that fills it\", \"completion\": \"r\"}"));
    says(unprepared(&spec, &s), "max_length 8");
}

static void special_files_are_refused(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 256, PACKING_NONE);
    assert_int_equal(mkfifo(in_folder("pipe.jsonl"), 0600), 0);
    static const struct {
        const char *name, *part;
    } rows[] = {{"pipe.jsonl", "FIFO"}, {"absent.jsonl", "cannot open"}, {"bytes", "folder"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct source_spec spec = spec_of(in_folder(rows[i].name));
        says(unprepared(&spec, &s), rows[i].part);
    }
    struct source_spec spec = spec_of(write_file("x.jsonl", "{\"text\": \"a\"}"));
    spec.format = "csv";
    says(unprepared(&spec, &s), "format \"csv\" is not known");
}

static void a_line_of_a_hundred_megabytes_is_a_bad_row(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 256, PACKING_NONE);
    char *path = in_folder("long.jsonl"), piece[1 << 16];
    FILE *f = fopen(path, "wb");
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 150; i++) fprintf(f, "{\"text\": \"row %d\"}\n", i);
    fprintf(f, "{\"text\": \"");
    for (int i = 0; i < 1600; i++) fwrite(piece, 1, sizeof piece, f);
    fprintf(f, "\"}\n{\"text\": \"last\"}\n");
    fclose(f);
    struct source_spec spec = spec_of(path);
    struct source source = prepared(&spec, &s);
    assert_int_equal(source.report.rows, 152);
    assert_int_equal(source.report.rows_bad, 1);
    says(source.report.bad[0], "long.jsonl:151: the row is longer than 64 MiB");
    assert_int_equal(source.documents, 151);
    source_close(&source);
    unlink(path);
}

static void deep_json_is_a_bad_row(void **state)
{
    (void)state;
    struct buf b = buf_make(&a);
    buf_printf(&b, "{\"text\": ");
    for (int i = 0; i < 100000; i++) buf_put(&b, "[", 1);
    says(row_refusal("deep.jsonl", b.p), "deep.jsonl:1");
    for (int i = 0; i < 100000; i++) buf_put(&b, "]", 1);
    buf_put(&b, "}", 1);
    says(row_refusal("deep.json", arena_printf(&a, "[%s]", b.p)), "deep");
}

static void rows_are_counted_cut_and_dropped(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "plain", 8, PACKING_BFD);
    struct source_spec spec = spec_of(write_file(
        "count.jsonl",
        "{\"text\": \"abc\"}\n{\"text\": \"0123456789\"}\n{\"text\": \"\"}\n{\"text\": \"ab\"}\n"));
    struct source source = prepared(&spec, &s);
    assert_int_equal(source.report.rows, 4);
    assert_int_equal(source.report.rows_dropped, 1);   /* "</s>" alone predicts nothing */
    assert_int_equal(source.report.rows_truncated, 0); /* a text is split instead */
    assert_int_equal(source.report.tokens, 4 + 11 + 3);
    assert_int_equal(source.report.tokens_trained, 3 + 4 + 5 + 2);
    assert_int_equal(source.report.longest, 11);
    assert_int_equal(source.report.lengths[0], 1);
    assert_int_equal(source.report.lengths[1], 1);
    assert_int_equal(source.report.lengths[2], 1);
    assert_int_equal(source.report.lengths[3], 1);
    assert_int_equal(source.documents, 3);
    source_close(&source);
    spec.max_rows = 2;
    source = prepared(&spec, &s);
    assert_int_equal(source.report.rows, 2);
    source_close(&source);
    s.packing = PACKING_SPLICE;
    spec.max_rows = 0;
    source = prepared(&spec, &s);
    assert_int_equal(source.report.tokens_truncated, 0);
    assert_int_equal(source.report.tokens, 4 + 11 + 3);
    source_close(&source);
    s.packing = PACKING_BFD;
    spec = spec_of(write_file("cut-talk.jsonl",
                              "{\"prompt\": \"abc\", \"completion\": \"0123456789\"}\n{\"prompt\": "
                              "\"a\", \"completion\": \"b\"}\n"
                              "{\"prompt\": \"abcdefghijk\", \"completion\": \"b\"}\n"));
    source = prepared(&spec, &s);
    assert_int_equal(source.report.rows_truncated, 2);
    assert_int_equal(source.report.rows_dropped, 1);
    assert_int_equal(source.report.tokens_truncated, (14 - 8) + (13 - 8));
    assert_int_equal(source.report.tokens, 8 + 3);
    assert_int_equal(source.report.tokens_trained, 5 + 2);
    source_close(&source);
}

/* Reads whatever a file is, row by row, as each format. */
static int read_through(const char *path, bool plain)
{
    struct rows r;
    struct row row;
    struct err err;
    bool any = true;
    int rows = 0;
    if (!rows_open(&r, path, plain, &err)) return 0;
    while (rows_next(&r, &row, &any, &err) && any) {
        static const char *const formats[] = {"messages", "sharegpt", "alpaca", "prompt_completion",
                                              "colossal", "tokens", "text"};
        for (size_t i = 0; i < COUNT(formats); i++) {
            struct arena inner = arena_make(0), scratch = arena_make(0);
            struct ids ids = {.a = &inner};
            struct conversation c;
            if (row_read(&c, format_find(formats[i], &err), &row, plain, path, &inner, &err))
                conversation_encode(&ids, &c, plain_bytes, named_template("qa"), TRAIN_ON_ANSWERS,
                                    NULL, &scratch, &err);
            arena_drop(&inner);
            arena_drop(&scratch);
        }
        rows++;
    }
    rows_close(&r);
    return rows;
}

static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    static const char good[] =
        "[{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
        "\"q\"}]}, {\"role\": \"assistant\", \"content\": \"r\"}]},\n"
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}]},\n"
        "{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"c\", \"d\"]]},\n"
        "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, 3]}, {\"source\": \"\", \"target\": "
        "\"t\"}]\n";
    static const char odd[] = "{}[]\",:\\ \n\xff 0-n";
    struct arena_mark m = arena_mark(&a);
    for (uint64_t k = 0; k < 600; k++) {
        char bytes[sizeof good];
        size_t n = sizeof good - 1;
        memcpy(bytes, good, sizeof good);
        if (k % 3 == 0) n = n * (size_t)k / 600;
        for (uint64_t i = 0; k % 3 && i < 1 + k % 4; i++)
            bytes[rand_at(k, i) % n] = odd[rand_at(k, 50 + i) % (sizeof odd - 1)];
        if (k % 3 == 2) bytes[0] = ' ';
        char *path = write_bytes("damaged.json", bytes, n);
        assert_in_range(read_through(path, k % 7 == 0), 0, (int)n);
        arena_back(&a, m);
    }
    assert_int_equal(read_through(write_file("whole.json", good), false), 5);
}

static void quizzes_are_read_strictly(void **state)
{
    (void)state;
    struct quiz_row *rows;
    int n;
    assert_true(
        quiz_read(&rows, &n,
                  write_file("q.jsonl", "{\"question\": \"a\", \"answer\": \"b\"}\n\n{\"answer\": "
                                        "\"d\", \"question\": \"c\", \"x\": 1}\n"),
                  &a, &error));
    assert_int_equal(n, 2);
    assert_true(text_is(rows[1].question, "c") && text_is(rows[1].answer, "d"));
    static const struct {
        const char *file, *part;
    } bad[] = {{"{\"question\": \"a\"}", ":1"},
               {"{\"question\": \"a\", \"answer\": \"b\"}\nx", ":2"},
               {"[]", "no questions"},
               {"", "empty"},
               {"3", "object"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(quiz_read(&rows, &n, write_file("bad-quiz.jsonl", bad[i].file), &a, &error));
        says(error.text, bad[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_read_and_found),
        cmocka_unit_test(plain_text_is_documents_by_blank_lines),
        cmocka_unit_test(train_on_decides_what_is_learnt),
        cmocka_unit_test(chats_are_asked_as_they_were_taught),
        cmocka_unit_test(bos_never_comes_twice),
        cmocka_unit_test(bad_rows_are_named_by_file_and_line),
        cmocka_unit_test(one_bad_row_in_a_hundred_is_counted_and_two_stop),
        cmocka_unit_test(nothing_to_learn_is_refused_with_the_first_row),
        cmocka_unit_test(special_files_are_refused),
        cmocka_unit_test(a_line_of_a_hundred_megabytes_is_a_bad_row),
        cmocka_unit_test(deep_json_is_a_bad_row),
        cmocka_unit_test(rows_are_counted_cut_and_dropped),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(quizzes_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, start, kit_stop);
}
