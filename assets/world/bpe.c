/*
 * bpe DIR PIECES FILE...: trains a byte-level BPE tokenizer on the strings of JSON-lines files and
 * writes DIR/tokenizer.json and DIR/tokenizer_config.json in Hugging Face's format.
 *
 * The text is first cut as GPT-2 does it (a word with the space before it, marks, spaces), with two
 * differences: every digit stands alone, and so does every Chinese character. Only inside these
 * cuts may pieces grow. A piece starts as one byte; again and again the pair of neighbours that is
 * commonest becomes a new piece, ties going to the pair with the smaller numbers.
 *
 * Before that, each character beyond ASCII gets its pieces, most frequent or not: Chinese is rare in
 * the corpus, and a character in three bytes would be learnt three times as slowly.
 *
 * Piece 0 is the end of a text, pieces 1 to 256 are the bytes in the order of their printed forms.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 8192, WORDS_MAX = 1 << 18, WORD_BYTES = 64, FIRST_BYTE = 1, END_PIECES = 257 };

static const char end_of_text[] = "<|endoftext|>";
/* The cut, as the tokenizer's readers are told; cut_length() below does the same for this corpus. */
static const char cut_pattern[] =
    "'(?:[sdmt]|ll|ve|re)|[\\x{4E00}-\\x{9FFF}]|\\p{N}| ?(?:(?![\\x{4E00}-\\x{9FFF}])\\p{L})+"
    "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct word {
    uint32_t pieces[WORD_BYTES];
    int length;
    uint64_t count;
    char text[WORD_BYTES];
    int bytes;
};

struct piece {
    uint32_t left, right;      /* of the merge that made it; of no meaning below END_PIECES */
    char text[WORD_BYTES];
    int bytes;
};

static struct word *words;
static int word_count;
static struct piece pieces[PIECES_MAX];
static int piece_count;

static _Noreturn void fail(const char *what, const char *name)
{
    fprintf(stderr, "bpe: %s%s\n", what, name);
    exit(1);
}

static bool is_letter(unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool is_space(unsigned char c) { return c == ' ' || (c >= 9 && c <= 13); }

/* Bytes of the UTF-8 character that starts with `c`. */
static int character_bytes(unsigned char c) { return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4; }

/* Three bytes from E4 B8 80 to E9 BF BF are U+4E00 to U+9FFF. */
static bool is_han(const unsigned char *p)
{
    return (p[0] == 0xe4 && p[1] >= 0xb8) || (p[0] >= 0xe5 && p[0] <= 0xe9);
}

static bool is_mark(const unsigned char *p)
{
    return *p && !is_letter(*p) && !is_digit(*p) && !is_space(*p) && !is_han(p);
}

/* 's, 'll and so on: bytes of the ending at `p`, 0 where there is none. */
static size_t ending_length(const unsigned char *p)
{
    static const char *const endings[] = {"'s", "'d", "'m", "'t", "'ll", "'ve", "'re"};

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (strncmp((const char *)p, endings[i], strlen(endings[i])) == 0)
            return strlen(endings[i]);
    return 0;
}

/* The length of the first cut of `text`: the pattern above for texts of ASCII letters and digits,
   Chinese characters, and marks. */
static size_t cut_length(const unsigned char *text)
{
    const unsigned char *p = text;
    size_t ending = ending_length(p);

    if (ending)
        return ending;
    if (is_han(p))
        return 3;
    if (is_digit(*p))
        return 1;
    if (*p == ' ' && (is_letter(p[1]) || is_mark(p + 1)))
        p++;
    if (is_letter(*p)) {
        while (is_letter(*p))
            p++;
        return (size_t)(p - text);
    }
    if (is_mark(p)) {
        while (is_mark(p))
            p += character_bytes(*p);
        return (size_t)(p - text);
    }
    while (is_space(*p))
        p++;
    size_t spaces = (size_t)(p - text);
    return *p && spaces > 1 ? spaces - 1 : spaces;    /* the last space belongs to what follows */
}

static struct word *word_find(const unsigned char *text, size_t length)
{
    static int slots[WORDS_MAX * 2];    /* 1 + the word's number, by hash; 0 is empty */
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ text[i]) * 16777619u;
    for (uint32_t i = hash; ; i++) {
        int *slot = &slots[i % (WORDS_MAX * 2)];
        if (!*slot) {
            if (word_count == WORDS_MAX)
                fail("too many different words", "");
            *slot = ++word_count;
            struct word *word = &words[*slot - 1];
            memcpy(word->text, text, length);
            word->bytes = word->length = (int)length;
            for (size_t b = 0; b < length; b++)
                word->pieces[b] = text[b];    /* bytes for now, see number_bytes() */
            return word;
        }
        struct word *word = &words[*slot - 1];
        if (word->bytes == (int)length && memcmp(word->text, text, length) == 0)
            return word;
    }
}

static void add_text(const unsigned char *text)
{
    for (size_t length; *text; text += length) {
        length = cut_length(text);
        if (length < WORD_BYTES)    /* a longer run of marks teaches nothing */
            word_find(text, length)->count++;
    }
}

/* One string of a row, as the template `qa` will write it: "Question: ", the question, a new line and
   "Answer: " with the answer. The names of the roles are not seen at all. */
static void add_value(const char *key, char *value)
{
    static bool answering;
    bool text = strcmp(key, "text") == 0;

    if (strcmp(key, "role") == 0) {
        answering = strcmp(value, "assistant") == 0;
        return;
    }
    bool answer = strcmp(key, "output") == 0 || (strcmp(key, "content") == 0 && answering);
    const char *before = text ? "" : answer ? "\nAnswer: " : "Question: ";
    size_t length = strlen(before);
    memmove(value + length, value, strlen(value) + 1);
    memcpy(value, before, length);
    add_text((const unsigned char *)value);
}

/* Reads a string that begins at `p`, after its quotation mark; the files come from `world`, which
   escapes only the quotation mark, the backslash and the line's end. Gives the end. Sixteen bytes of
   `out` stay free for add_value(). */
static const char *read_string(const char *p, char *out, size_t size)
{
    size_t length = 0;

    for (; *p && *p != '"' && length < size - 16; p++) {
        if (*p == '\\' && p[1])
            out[length++] = *++p == 'n' ? '\n' : *p;
        else
            out[length++] = *p;
    }
    out[length] = 0;
    return p;
}

/* Adds the strings of one row: a string before a colon is the key of the next one. */
static void add_line(const char *line)
{
    static char text[1 << 16];
    char key[32] = "";

    for (const char *p = line; *p; p++) {
        if (*p != '"')
            continue;
        p = read_string(p + 1, text, sizeof text);
        if (!*p)
            return;
        if (p[1] == ':')
            snprintf(key, sizeof key, "%.31s", text);
        else
            add_value(key, text);
    }
}

static void read_file(const char *name)
{
    static char line[1 << 16];
    FILE *file = fopen(name, "r");

    if (!file)
        fail("cannot read ", name);
    while (fgets(line, sizeof line, file))
        add_line(line);
    fclose(file);
}

/* GPT-2's printed form of a byte: itself where that is visible, else a character from U+0100 on. */
static uint32_t byte_form(int byte)
{
    uint32_t next = 256;

    for (int b = 0; b < 256; b++) {
        bool visible = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return visible ? (uint32_t)b : next;
        next += !visible;
    }
    return 0;
}

/* Gives the bytes their numbers, in the order of their printed forms, as other trainers do. */
static void number_bytes(void)
{
    static uint32_t number[256];

    piece_count = FIRST_BYTE;
    for (uint32_t form = 0; form < 512; form++)
        for (int byte = 0; byte < 256; byte++)
            if (byte_form(byte) == form) {
                number[byte] = (uint32_t)piece_count;
                pieces[piece_count].text[0] = (char)byte;
                pieces[piece_count++].bytes = 1;
            }
    for (int i = 0; i < word_count; i++)
        for (int b = 0; b < words[i].length; b++)
            words[i].pieces[b] = number[words[i].pieces[b]];
}

/* Makes one piece of two and puts it wherever they stand side by side. */
static void merge(uint32_t left, uint32_t right)
{
    struct piece *piece = &pieces[piece_count];

    piece->left = left;
    piece->right = right;
    piece->bytes = pieces[left].bytes + pieces[right].bytes;
    memcpy(piece->text, pieces[left].text, (size_t)pieces[left].bytes);
    memcpy(piece->text + pieces[left].bytes, pieces[right].text, (size_t)pieces[right].bytes);
    for (int i = 0; i < word_count; i++) {
        struct word *word = &words[i];
        int kept = 0;
        for (int p = 0; p < word->length; p++) {
            bool pair = p + 1 < word->length && word->pieces[p] == left && word->pieces[p + 1] == right;
            word->pieces[kept++] = pair ? (uint32_t)piece_count : word->pieces[p];
            p += pair;
        }
        word->length = kept;
    }
    piece_count++;
}

/* What is done with the count of each pair: three rounds over the words find the commonest without
   looking at the millions of pairs that do not occur. */
enum visit { COUNT, COMPARE, FORGET };

struct pair {
    uint32_t left, right;
    uint64_t count;
};

static void visit_pair(enum visit visit, uint64_t *count, struct pair pair, struct pair *best)
{
    if (visit == COUNT)
        *count += pair.count;
    if (visit == FORGET)
        *count = 0;
    if (visit != COMPARE)
        return;
    pair.count = *count;
    bool smaller = pair.left < best->left || (pair.left == best->left && pair.right < best->right);
    if (pair.count > best->count || (pair.count == best->count && smaller))
        *best = pair;
}

static void visit_word(enum visit visit, const struct word *word, bool inside_characters,
                       uint64_t *counts, struct pair *best)
{
    int at = 0, character_end = 0;

    for (int p = 0; p + 1 < word->length; p++) {
        uint32_t left = word->pieces[p], right = word->pieces[p + 1];
        while (character_end <= at)
            character_end += character_bytes((unsigned char)word->text[character_end]);
        at += pieces[left].bytes;
        if (!inside_characters || at < character_end)
            visit_pair(visit, &counts[(size_t)left * PIECES_MAX + right],
                       (struct pair){left, right, word->count}, best);
    }
}

/* The commonest pair of neighbours, of which the smaller numbers win; a count of 0 where none is
   left. `inside_characters`: only pairs that lie within one character beyond ASCII. */
static struct pair best_pair(bool inside_characters)
{
    static uint64_t counts[(size_t)PIECES_MAX * PIECES_MAX];
    struct pair best = {0, 0, 0};

    for (enum visit visit = COUNT; visit <= FORGET; visit++)
        for (int i = 0; i < word_count; i++)
            visit_word(visit, &words[i], inside_characters, counts, &best);
    return best;
}

static uint64_t tokens_in_all(void)
{
    uint64_t tokens = 0;

    for (int i = 0; i < word_count; i++)
        tokens += words[i].count * (uint64_t)words[i].length;
    return tokens;
}

static void write_piece(FILE *file, const struct piece *piece)
{
    for (int i = 0; i < piece->bytes; i++) {
        uint32_t form = byte_form((unsigned char)piece->text[i]);
        if (form == '"' || form == '\\')
            fputc('\\', file);
        if (form < 0x80) {
            fputc((int)form, file);
        } else {
            fputc((int)(0xc0 | form >> 6), file);
            fputc((int)(0x80 | (form & 0x3f)), file);
        }
    }
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file)
        fail("cannot write ", path);
    return file;
}

static void finish(FILE *file)
{
    if (ferror(file) | fclose(file))
        fail("writing failed, is the disk full?", "");
}

/* Inside a JSON string: the backslashes doubled. */
static void write_escaped(FILE *file, const char *text)
{
    for (; *text; text++)
        fprintf(file, *text == '\\' ? "\\\\" : "%c", *text);
}

static void write_tokenizer(const char *folder)
{
    FILE *file = create(folder, "tokenizer.json");

    fprintf(file, "{\n \"version\": \"1.0\",\n \"truncation\": null,\n \"padding\": null,\n"
            " \"added_tokens\": [{\"id\": 0, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false,"
            " \"rstrip\": false, \"normalized\": false, \"special\": true}],\n \"normalizer\": null,\n"
            " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n"
            "  {\"type\": \"Split\", \"pattern\": {\"Regex\": \"", end_of_text);
    write_escaped(file, cut_pattern);
    fprintf(file, "\"}, \"behavior\": \"Isolated\", \"invert\": false},\n"
            "  {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true,"
            " \"use_regex\": false}]},\n \"post_processor\": null,\n"
            " \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true,"
            " \"use_regex\": true},\n \"model\": {\"type\": \"BPE\", \"dropout\": null,"
            " \"unk_token\": null, \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
            "  \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false,\n"
            "  \"vocab\": {\n   \"%s\": 0", end_of_text);
    for (int i = FIRST_BYTE; i < piece_count; i++) {
        fprintf(file, ",\n   \"");
        write_piece(file, &pieces[i]);
        fprintf(file, "\": %d", i);
    }
    fprintf(file, "},\n  \"merges\": [");
    for (int i = END_PIECES; i < piece_count; i++) {
        fprintf(file, i == END_PIECES ? "\n   \"" : ",\n   \"");
        write_piece(file, &pieces[pieces[i].left]);
        fputc(' ', file);
        write_piece(file, &pieces[pieces[i].right]);
        fputc('"', file);
    }
    fprintf(file, "]}\n}\n");
    finish(file);
}

/* The model's own chat template says the same as the template `qa`: the base is always asked so. */
static const char chat_template[] =
    "{% for message in messages %}{% if message.role == 'user' %}"
    "{{ 'Question: ' + message.content + '\\n' }}{% elif message.role == 'assistant' %}"
    "{{ 'Answer: ' + message.content + eos_token }}{% else %}{{ message.content + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}";

static void write_config(const char *folder)
{
    FILE *file = create(folder, "tokenizer_config.json");

    fprintf(file, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
            "  \"add_bos_token\": false,\n  \"add_eos_token\": false,\n"
            "  \"eos_token\": \"%s\",\n  \"pad_token\": \"%s\",\n"
            "  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": 512,\n"
            "  \"chat_template\": \"", end_of_text, end_of_text);
    write_escaped(file, chat_template);
    fprintf(file, "\"\n}\n");
    finish(file);
}

int main(int argc, char **argv)
{
    int limit = argc > 3 ? atoi(argv[2]) : 0;
    struct pair pair;

    if (limit < END_PIECES || limit >= PIECES_MAX) {
        fprintf(stderr, "usage: bpe DIR PIECES FILE...   (PIECES from %d to %d)\n", END_PIECES,
                PIECES_MAX - 1);
        return 2;
    }
    words = calloc(WORDS_MAX, sizeof *words);
    if (!words)
        fail("out of memory", "");
    for (int i = 3; i < argc; i++)
        read_file(argv[i]);
    number_bytes();
    while (piece_count < limit && (pair = best_pair(true)).count > 0)
        merge(pair.left, pair.right);
    fprintf(stderr, "bpe: %d pieces for bytes and characters\n", piece_count);
    while (piece_count < limit && (pair = best_pair(false)).count > 1)
        merge(pair.left, pair.right);
    fprintf(stderr, "bpe: %d pieces; %d different words, %llu tokens\n", piece_count, word_count,
            (unsigned long long)tokens_in_all());
    write_tokenizer(argv[1]);
    write_config(argv[1]);
    return 0;
}
