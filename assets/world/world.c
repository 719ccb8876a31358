/*
 * world DIR: writes what the shipped base and the preset `demo` learn from into DIR.
 *
 *   base.jsonl        stories, textbook paragraphs and sums in English, a little Chinese ({"text"})
 *   base.qa.jsonl     talks: questions and answers in English, a little Chinese ({"messages"})
 *   zh.align.jsonl    words in both languages, asked both ways (alpaca rows)
 *   zh.facts.jsonl    the town in Chinese: questions in all wordings but the held-out one, sentences
 *   zh.control.jsonl  the same about people who do not live in the town: teaches nothing of it
 *   en.replay.jsonl   the town in English and what everybody knows, for remembering it ({"messages"})
 *   known.jsonl       what everybody knows, in both languages, and sums ({"messages"})
 *   quiz.en.jsonl, quiz.zh.jsonl   each fact once, in the wording that was held out for it
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { TEXT_BYTES = 4096, ROWS_MAX = 1 << 16, TALK_MAX = 4 };

/* What the base reads. Each world question comes QA_PASSES times, at other places. */
enum { BASE_STORIES = 27000, QA_PASSES = 8, QA_SUMS = 7000, QA_HANDED = 2500, ZH_SHARE = 30,
       REPLAY_SUMS = 300, REPLAY_HANDED = 60 };

/* Rows of questions and answers, kept until they are all there and then written in random order. */
struct rows {
    char *question[ROWS_MAX], *answer[ROWS_MAX];
    int count;
};

static char *copy(const char *text)
{
    char *out = malloc(strlen(text) + 1);

    if (!out) {
        fprintf(stderr, "world: out of memory\n");
        exit(1);
    }
    return strcpy(out, text);
}

static void rows_add(struct rows *rows, const char *question, const char *answer)
{
    if (rows->count == ROWS_MAX) {
        fprintf(stderr, "world: more than %d rows\n", ROWS_MAX);
        exit(1);
    }
    rows->question[rows->count] = copy(question);
    rows->answer[rows->count++] = copy(answer);
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "world: cannot write %s: is %s a folder?\n", path, folder);
        exit(1);
    }
    return file;
}

static void finish(FILE *file)
{
    if (ferror(file) | fclose(file)) {
        fprintf(stderr, "world: writing failed, is the disk full?\n");
        exit(1);
    }
}

static void rows_free(struct rows *rows)
{
    for (int i = 0; i < rows->count; i++) {
        free(rows->question[i]);
        free(rows->answer[i]);
    }
    rows->count = 0;
}

/* One question a row, in random order. */
static void rows_write(struct rows *rows, const char *folder, const char *name, uint64_t seed)
{
    static int order[ROWS_MAX];
    struct random random = {seed, 0};
    FILE *file = create(folder, name);

    random_order(&random, order, rows->count);
    for (int i = 0; i < rows->count; i++)
        write_pair(file, "instruction", rows->question[order[i]], "output", rows->answer[order[i]]);
    rows_free(rows);
    finish(file);
}

/* Conversations of one to four questions, in random order. */
static void rows_write_talks(struct rows *rows, const char *folder, const char *name, uint64_t seed)
{
    static int order[ROWS_MAX];
    struct random random = {seed, 0};
    FILE *file = create(folder, name);

    random_order(&random, order, rows->count);
    for (int i = 0; i < rows->count;) {
        int end = i + 1 + (int)random_below(&random, TALK_MAX);
        fprintf(file, "{\"messages\": [");
        for (int first = i; i < end && i < rows->count; i++)
            write_turn(file, i == first, rows->question[order[i]], rows->answer[order[i]]);
        fprintf(file, "]}\n");
    }
    rows_free(rows);
    finish(file);
}

/* Every fact in every wording that is not held out for it. */
static void add_questions(struct rows *rows, const struct town *town, enum language language)
{
    char question[TEXT_BYTES];

    for (int i = 0; i < RELATIONS * PEOPLE * WORDINGS; i++) {
        enum relation relation = (enum relation)(i / (PEOPLE * WORDINGS));
        int person = i / WORDINGS % PEOPLE, wording = i % WORDINGS;
        if (wording == held_out(relation, person, language))
            continue;
        fact_question(question, sizeof question, town, relation, person, language, wording);
        rows_add(rows, question, fact_answer(town, relation, person, language));
    }
}

/* Requests that are answered by a whole sentence. */
static void add_sentences(struct rows *rows, const struct town *town, enum language language)
{
    char request[TEXT_BYTES], told[TEXT_BYTES], pattern[256];
    struct cast cast = {.town = town, .language = language};

    for (int relation = 0; relation < RELATIONS; relation++)
        for (int i = 0; i < 2 && relation_words[relation].prompt[language][i]; i++)
            for (int person = 0; person < PEOPLE; person++) {
                cast.person[0] = person;
                const char *ask = relation_words[relation].prompt[language][i];
                size_t before = (size_t)(strstr(ask, "$S") - ask);
                snprintf(pattern, sizeof pattern, "%.*s$P1%s", (int)before, ask, ask + before + 2);
                request[0] = told[0] = 0;
                sentence(request, sizeof request, pattern, &cast);
                sentence(told, sizeof told, relation_words[relation].tell[language][i], &cast);
                rows_add(rows, request, told);
            }
}

static void add_lessons(struct rows *rows, enum language language, int passes)
{
    for (int pass = 0; pass < passes; pass++)
        for (const struct lesson *lesson = lessons[language]; lesson->told; lesson++)
            rows_add(rows, lesson->asked, lesson->answer);
}

static void add_sums(struct rows *rows, int count, uint64_t seed)
{
    static const char *const ways[][2] = {
        {"What is %d plus %d?", "What is %d minus %d?"}, {"%d + %d = ?", "%d - %d = ?"},
        {"How much is %d plus %d?", "How much is %d minus %d?"},
    };
    struct random random = {seed, 0};
    char question[128], answer[32];

    for (int i = 0; i < count; i++) {
        int a = (int)random_below(&random, SUM_MAX + 1), b = (int)random_below(&random, SUM_MAX + 1);
        int way = (int)random_below(&random, 3), minus = (int)random_below(&random, 2);
        snprintf(question, sizeof question, ways[way][minus], minus ? a + b : a, b);
        snprintf(answer, sizeof answer, "%d", minus ? a : a + b);
        rows_add(rows, question, answer);
    }
}

/* Somebody has a thing and gives it away: the answer stands in the question. */
static void add_handed(struct rows *rows, const struct town *town, int count, uint64_t seed)
{
    static const char *const things[] = {"the ball", "the book", "the letter", "the cup", "the hat",
                                         "the lamp", "the bag", "the flower"};
    struct random random = {seed, 0};
    struct cast cast = {.town = town, .language = EN};
    char question[TEXT_BYTES];

    for (int i = 0; i < count; i++) {
        int order[PEOPLE], giver = (int)random_below(&random, 2);
        random_order(&random, order, PEOPLE);
        memcpy(cast.person, order, sizeof cast.person);
        cast.word = things[random_below(&random, 8)];
        question[0] = 0;
        sentence(question, sizeof question, giver ? "$P1 gave $W to $P2. Who had $W before?"
                                                  : "$P1 gave $W to $P2. Who has $W now?", &cast);
        rows_add(rows, question, town->people[order[giver ? 0 : 1]].in[EN]);
    }
}

/* The word lists of a language text: a few names of one kind after another. */
static void word_list(char *out, size_t size, struct random *random)
{
    static const struct word *const kinds[] = {town_people, other_people, houses, other_houses, goods,
                                              other_goods, animals, foods};
    static const char *const heads[] = {"名字：", "名字：", "房子：", "房子：", "东西：", "东西：",
                                        "动物：", "食物："};
    int kind = (int)random_below(random, 8), order[PEOPLE];

    random_order(random, order, PEOPLE);
    snprintf(out, size, "%s", heads[kind]);
    for (int i = 0; i < 8; i++) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, "%s%s", kinds[kind][order[i]].in[ZH], i < 7 ? "、" : "。");
    }
}

static void chinese(char *out, size_t size, struct random *random)
{
    static const char *const digits[] = {"零", "一", "二", "三", "四", "五", "六", "七", "八", "九",
                                         "十"};
    uint32_t what = random_below(random, 3), count = 0;

    if (what == 0) {
        word_list(out, size, random);
        return;
    }
    out[0] = 0;
    while (lessons[ZH][count].told)
        count++;
    for (int i = 0; i < 6; i++) {
        size_t at = strlen(out);
        uint32_t a = random_below(random, 6), b = random_below(random, 5);
        if (what == 1)
            snprintf(out + at, size - at, "%s", lessons[ZH][random_below(random, count)].told);
        else
            snprintf(out + at, size - at, "%s加%s等于%s。", digits[a], digits[b], digits[a + b]);
    }
}

static void write_base(const struct town *town, const char *folder)
{
    static struct rows rows;
    FILE *file = create(folder, "base.jsonl");
    struct random random = {11, 0};
    char text[TEXT_BYTES];

    for (int i = 0; i < BASE_STORIES; i++) {
        if (random_below(&random, ZH_SHARE) == 0)
            chinese(text, sizeof text, &random);
        else
            story(text, sizeof text, town, (int)random_below(&random, STORIES), &random);
        write_text(file, text);
    }
    finish(file);

    for (int pass = 0; pass < QA_PASSES; pass++)
        add_questions(&rows, town, EN);
    add_sentences(&rows, town, EN);
    add_lessons(&rows, EN, 3 * QA_PASSES);
    add_lessons(&rows, ZH, QA_PASSES);
    add_sums(&rows, QA_SUMS, 12);
    add_handed(&rows, town, QA_HANDED, 13);
    rows_write_talks(&rows, folder, "base.qa.jsonl", 14);
}

static void add_translations(struct rows *rows, const struct word *words, int count)
{
    static const char *const asked[LANGUAGES][2] = {
        {"What is \"%s\" in Chinese?", "Translate into Chinese: %s"},
        {"“%s”用英语怎么说？", "翻译成英语：%s"},
    };
    char question[256];

    for (int i = 0; i < count && words[i].in[EN]; i++)
        for (int from = EN; from <= ZH; from++)
            for (int way = 0; way < 2; way++) {
                snprintf(question, sizeof question, asked[from][way], words[i].in[from]);
                rows_add(rows, question, words[i].in[ZH - from]);
            }
}

static void write_lessons(const struct town *town, const struct town *other, const char *folder)
{
    static const struct word *const kinds[] = {town_people, houses, goods, animals, foods};
    static struct rows rows;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        add_translations(&rows, kinds[i], PEOPLE);
    add_translations(&rows, dictionary, PEOPLE * PEOPLE);
    rows_write(&rows, folder, "zh.align.jsonl", 21);

    add_questions(&rows, town, ZH);
    add_sentences(&rows, town, ZH);
    rows_write(&rows, folder, "zh.facts.jsonl", 22);

    add_questions(&rows, other, ZH);
    add_sentences(&rows, other, ZH);
    rows_write(&rows, folder, "zh.control.jsonl", 23);

    add_questions(&rows, town, EN);
    add_sentences(&rows, town, EN);
    add_lessons(&rows, EN, 2);
    add_lessons(&rows, ZH, 2);
    add_sums(&rows, REPLAY_SUMS, 25);
    add_handed(&rows, town, REPLAY_HANDED, 26);
    rows_write_talks(&rows, folder, "en.replay.jsonl", 24);

    add_lessons(&rows, EN, 1);
    add_lessons(&rows, ZH, 3);
    add_sums(&rows, 2 * REPLAY_SUMS, 27);
    add_handed(&rows, town, REPLAY_HANDED, 28);
    rows_write_talks(&rows, folder, "known.jsonl", 29);
}

static void write_quiz(const struct town *town, const char *folder, enum language language)
{
    FILE *file = create(folder, language == EN ? "quiz.en.jsonl" : "quiz.zh.jsonl");
    char question[TEXT_BYTES];

    for (int i = 0; i < RELATIONS * PEOPLE; i++) {
        enum relation relation = (enum relation)(i / PEOPLE);
        int person = i % PEOPLE;
        fact_question(question, sizeof question, town, relation, person, language,
                      held_out(relation, person, language));
        write_pair(file, "question", question, "answer",
                   fact_answer(town, relation, person, language));
    }
    finish(file);
}

int main(int argc, char **argv)
{
    struct town town, other;

    if (argc != 2) {
        fprintf(stderr, "usage: world DIR   (an existing folder; its *.jsonl files are replaced)\n");
        return 2;
    }
    town_make(&town, true, 1);
    town_make(&other, false, 2);
    write_base(&town, argv[1]);
    write_lessons(&town, &other, argv[1]);
    write_quiz(&town, argv[1], EN);
    write_quiz(&town, argv[1], ZH);
    return 0;
}
