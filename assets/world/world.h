/*
 * A small town, and what can be said about it. The program `world` writes everything that the shipped
 * base model and the preset `demo` learn from: thirty-two people, each with a house, a shop, an
 * animal, a favourite food, a best friend and a teacher, told in English and in Chinese.
 *
 * The words of this header. A `fact` is one question's subject and its answer ("Anna sells: bread").
 * A `relation` is the kind of fact; two of them are the same knowledge asked backwards (who sells
 * bread?). A `wording` is one way to ask a relation; each relation has WORDINGS of them in each
 * language. For every fact one wording is held out: only the quiz asks the fact so, while the same
 * wording is used for other facts in training. What the quiz measures is therefore knowledge and
 * not the memory of a sentence.
 *
 * Everything is a pure function of the tables and of counters: the same files on every machine.
 */
#ifndef ASSETS_WORLD_WORLD_H
#define ASSETS_WORLD_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Sums add and take away numbers up to SUM_MAX: so few that a small model can know them all. */
enum { PEOPLE = 32, SUM_MAX = 10, WORDINGS = 8, STATEMENTS = 6, CAST = 3 };

enum language { EN, ZH, LANGUAGES };

enum relation { HOME, RESIDENT, GOODS, SELLER, PET, FOOD, FRIEND, TEACHER, RELATIONS };

/* A word in both languages; `female` matters for people only (he or she). */
struct word {
    const char *in[LANGUAGES];
    bool female;
};

/* How a relation is asked: $S is the subject. How it is told (empty for the two backward relations):
   see sentence() for the letters. `prompt` are requests that a told sentence answers. */
struct relation_words {
    const char *ask[LANGUAGES][WORDINGS];
    const char *tell[LANGUAGES][STATEMENTS];
    const char *prompt[LANGUAGES][2];
};

/* One thing that everybody knows: told, asked, answered. */
struct lesson {
    const char *told, *asked, *answer;
};

/* words.c: the tables. Houses, goods, animals and foods have PEOPLE entries each, so that every
   answer belongs to one person and guessing the commonest one gains nothing. */
extern const struct word town_people[PEOPLE], other_people[PEOPLE];
extern const struct word other_houses[PEOPLE], other_goods[PEOPLE];
extern const struct word houses[PEOPLE], goods[PEOPLE], animals[PEOPLE], foods[PEOPLE];
extern const struct relation_words relation_words[RELATIONS];

/* lessons.c: general knowledge, ended by a row of nulls. */
extern const struct lesson lessons[LANGUAGES][96];
extern const struct word dictionary[];         /* ended by a row of nulls */

/* Random numbers by counter: number `counter` of stream `key` needs none of those before it. */
struct random {
    uint64_t key, counter;
};
uint32_t random_below(struct random *random, uint32_t limit);
void random_order(struct random *random, int *order, int count);

/* A town: who has which of the PEOPLE houses and so on. Two towns are made, the one that is taught
   and one with other people for the control run. That one gives the same answers to questions about
   its people, so that the control run learns to speak as well as the real one; who lives in a house
   and who sells a thing is asked of other houses and things, which our town does not have. */
struct town {
    const struct word *people, *asked_houses, *asked_goods;
    int house[PEOPLE], goods[PEOPLE], animal[PEOPLE], food[PEOPLE];    /* by person */
    int friend[PEOPLE], teacher[PEOPLE];                               /* by person: a person */
};
void town_make(struct town *town, bool ours, uint64_t seed);

/* facts.c: subject and answer of the fact that `relation` and `person` name, in one language.
   `question` asks it in one wording; `held_out` is the wording that only the quiz uses. */
const char *fact_subject(const struct town *, enum relation, int person, enum language);
const char *fact_answer(const struct town *, enum relation, int person, enum language);
void fact_question(char *out, size_t size, const struct town *, enum relation, int person,
                   enum language, int wording);
int held_out(enum relation, int person, enum language);

/* What a sentence may speak of: up to CAST people, one word, some numbers, a day. */
struct cast {
    const struct town *town;
    enum language language;
    int person[CAST];
    int number[4];
    const char *word, *day;
    bool pronoun;              /* he, his and him instead of the first person's name */
};

/*
 * Appends a sentence to `out` with its letters replaced and its first letter, and every one after a
 * full stop, made large. $P1 name; $H1 house; $G1 goods; $A1 animal with its article, $a1 without;
 * $F1 food; $B1 best friend; $T1 teacher; $s1 he; $o1 him; $h1 his; $X1, $Y1, $Z1 the name or the
 * pronoun as subject, owner and object; the digit is the place in the cast. $N1 a number, $D day,
 * $W word. What does not fit into `size` bytes is a bug and ends the program.
 */
void sentence(char *out, size_t size, const char *pattern, const struct cast *cast);

/* Rows of JSON lines; write_turn() writes a question and its answer as two messages of a list. */
void write_text(FILE *file, const char *text);
void write_pair(FILE *file, const char *first, const char *question, const char *second,
                const char *answer);

void write_turn(FILE *file, bool first, const char *question, const char *answer);

/* stories.c: one text about the town or about the world; `kind` runs from 0 to STORIES - 1. */
enum { STORIES = 12 };
void story(char *out, size_t size, const struct town *town, int kind, struct random *random);

#endif
