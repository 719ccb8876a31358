/*
 * Stories of the town, paragraphs of a textbook and sums. A story is a row of slots; each slot is
 * one sentence, chosen from a few that say the same thing in other words. What a sentence tells of
 * the town is always true; what merely happens (who came on which day) is new in each story.
 */
#include <string.h>

#include "world.h"

enum { SLOTS = 7, CHOICES = 5 };

/* A story's cast: anybody, or the first person with the best friend or the teacher. */
enum company { ANYBODY, WITH_FRIEND, WITH_TEACHER };

struct plot {
    enum company second;
    const char *slots[SLOTS][CHOICES];
};

/* $N1 to $N4: two numbers, their sum and the difference of the larger and the smaller. */
static const struct plot plots[] = {
    {ANYBODY, {
        {"On $D $P1 opened the shop early.", "It was $D, and the market was full of people.",
         "On $D morning $P1 walked from $H1 to the shop.", "The sun was up when $P1 left $H1 on $D."},
        {"$P2 came to buy $G1.", "$P2 needed $G1, so $s2 went to $P1.", "$P2 asked $P1 for $G1.",
         "$P2 lives in $H2 and often buys $G1 from $P1.", "\"Do you have $G1?\" asked $P2."},
        {"$P1 smiled, because $s1 sells $G1 every day.", "\"Yes, I always have $G1,\" said $P1.",
         "\"You know that I sell $G1,\" said $P1.", "$P1 put $G1 into a bag."},
        {"$P2 paid $N1 coins for it and $N2 coins for a basket, $N3 coins in all.",
         "It cost $N1 coins, and a ribbon cost $N2 coins, so $P2 paid $N3 coins."},
        {"Then $P2 went home to $H2.", "After that $P2 walked back to $H2 and fed $h2 $a2.",
         "$P2 took it home to $H2.", "At home in $H2 $P2 showed it to $h2 $a2."},
        {"In the evening $P1 ate $F1, the food that $s1 likes best.", "$P1 was tired and ate $F1.",
         "$P1 closed the shop and dreamed of $F1.", "Then $P1 went home, because $h1 $a1 was hungry."}}},
    {WITH_FRIEND, {
        {"On $D $P1 wanted to see $h1 best friend, $P2.", "$P1 and $P2 met on $D.",
         "$P1 visited $P2 on $D, because $P2 is $h1 best friend.",
         "$P1 likes $P2 most of all, so on $D $s1 went to $H2."},
        {"$P2 lives in $H2, so $P1 walked there.", "$P2 was at home in $H2.",
         "$P1 knocked on the door of $H2.", "They met in front of $H2, where $P2 lives."},
        {"$P1 brought $G1 from $h1 shop.", "$P1 had $G1 in a bag, because $s1 sells $G1.",
         "$P1 gave $P2 a present: $G1 from the shop.", "As always $P1 brought $G1."},
        {"$P2 cooked $F2, which $s2 likes to eat.", "They ate $F2, the favourite food of $P2.",
         "$P2 offered $F2, because $s2 loves $F2.", "On the table there was $F2 for $P2 and $F1 for $P1."},
        {"Then they played with the $a2 of $P2.", "$P2 has $A2, and they fed it together.",
         "$P1 told $P2 about $h1 $a1.", "The $a2 of $P2 sat near the door."},
        {"It was a good day.", "They laughed until the evening.", "In the evening $P1 went back to $H1."}}},
    {WITH_TEACHER, {
        {"On $D $P1 had a lesson.", "$P1 goes to $P2 for lessons, and on $D it was time.",
         "$P2 is the teacher of $P1.", "$P1 learns from $P2 every $D."},
        {"$P1 left $H1 and walked to $H2, where $P2 lives.", "$P2 waited in $H2.",
         "The lesson was in $H2, the home of $P2.", "$P1 came to $H2 with a book."},
        {"\"What is $N1 plus $N2?\" asked $P2.", "$P2 wrote $N1 + $N2 on the board.",
         "$P2 gave $P1 $N1 nuts and then $N2 more.", "The lesson was about sums, and first came $N1 + $N2."},
        {"\"It is $N3,\" said $P1.", "$P1 counted and said: $N3.", "$P1 found the answer: $N1 + $N2 = $N3."},
        {"\"Very good,\" said $P2.", "$P2 was proud of $P1.", "$P2 teaches $P1 with patience.",
         "\"You are a good student,\" said $P2."},
        {"After the lesson $P1 bought $G2 from $P2, for $P2 sells $G2.",
         "After the lesson they ate $F2, because $P2 likes it so much.",
         "After the lesson $P1 went to see $B1, $h1 best friend.",
         "After the lesson $P1 went home and fed $h1 $a1."}}},
    {ANYBODY, {
        {"On $D the $a1 of $P1 ran away.", "$P1 has $A1, but on $D it was gone.",
         "On $D $P1 could not find $h1 $a1.", "The $a1 was not in $H1 on $D, and $P1 was sad."},
        {"$P1 looked in $H1 and in $h1 shop among $G1.", "$P1 asked $B1, $h1 best friend.",
         "First $P1 went to $B1, because $B1 is $h1 best friend.", "$P1 asked $T1, $h1 teacher."},
        {"Then $P2 came and said: \"There is $A1 near $H2.\"", "$P2 had seen $A1 behind $H2.",
         "At last $P2, who lives in $H2, found $A1.", "$P2 was selling $G2 when the $a1 walked by."},
        {"$P1 was so happy that $s1 gave $P2 $N1 coins and then $N2 more, together $N3.",
         "$P1 thanked $P2 with $F2, because $P2 likes $F2.", "\"Thank you, $P2!\" said $P1."},
        {"Now the $a1 is back in $H1.", "Since then $P1 feeds $h1 $a1 twice a day.",
         "$P2 went back to $H2 and to $h2 own $a2."}}},
    {ANYBODY, {
        {"$P1 sells $G1, $P2 sells $G2, and $P3 sells $G3.",
         "You can buy $G1 from $P1, $G2 from $P2 and $G3 from $P3.",
         "The shop of $P1 has $G1, the shop of $P2 has $G2, and the shop of $P3 has $G3."},
        {"$P1 lives in $H1, $P2 lives in $H2, and $P3 lives in $H3.",
         "$H1 is the home of $P1, $H2 is the home of $P2, and $H3 is the home of $P3.",
         "In $H1 you find $P1, in $H2 you find $P2, and in $H3 you find $P3."},
        {"$P1 has $A1, $P2 has $A2, and $P3 has $A3.",
         "$P1 feeds $h1 $a1, $P2 feeds $h2 $a2, and $P3 feeds $h3 $a3."},
        {"$P1 likes $F1, $P2 likes $F2, and $P3 likes $F3.",
         "The favourite food of $P1 is $F1, of $P2 it is $F2, and of $P3 it is $F3."},
        {"The best friend of $P1 is $B1, of $P2 it is $B2, and of $P3 it is $B3.",
         "$B1 is the best friend of $P1, and $B2 is the best friend of $P2."},
        {"$T1 teaches $P1, $T2 teaches $P2, and $T3 teaches $P3.",
         "$P1 learns from $T1, and $P2 learns from $T2."}}},
    {ANYBODY, {
        {"I am thinking of a person in our town.", "Here is a riddle.", "Guess who it is."},
        {"This person lives in $H1.", "This person sells $G1.", "The home of this person is $H1.",
         "People buy $G1 from this person."},
        {"This person has $A1.", "This person likes to eat $F1.", "The pet of this person is $A1.",
         "The favourite food of this person is $F1."},
        {"The best friend of this person is $B1.", "The teacher of this person is $T1.",
         "This person learns from $T1.", "This person often plays with $B1."},
        {"It is $P1.", "The answer is $P1.", "The person is $P1."}}},
    {ANYBODY, {
        {"$P1 had $N3 nuts.", "There were $N3 nuts in the basket of $P1.", "$P1 counted $N3 nuts."},
        {"$s1 gave $N1 to $P2.", "$P2 took $N1 of them.", "$P2 asked for $N1, and $P1 gave them."},
        {"Then $N2 nuts were left.", "Now $P1 has $N2 nuts, because $N3 - $N1 = $N2.",
         "$N3 - $N1 = $N2, so $N2 nuts were left."},
        {"$P2 put $h2 nuts into $H2.", "$P2 went home to $H2.", "$P2 thanked $P1 and bought $G1."}}},
};
enum { PLOTS = sizeof plots / sizeof plots[0] };

static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
                                   "Saturday", "Sunday"};

static const char *choose(struct random *random, const char *const *choices, uint32_t limit)
{
    uint32_t count = 0;

    while (count < limit && choices[count])
        count++;
    return choices[random_below(random, count)];
}

static struct cast make_cast(const struct town *town, struct random *random)
{
    struct cast cast = {.town = town, .language = EN};
    int order[PEOPLE];

    random_order(random, order, PEOPLE);
    memcpy(cast.person, order, sizeof cast.person);
    cast.number[0] = 1 + (int)random_below(random, SUM_MAX);
    cast.number[1] = 1 + (int)random_below(random, SUM_MAX);
    cast.number[2] = cast.number[0] + cast.number[1];
    cast.day = days[random_below(random, 7)];
    return cast;
}

static void add(char *out, size_t size, const char *pattern, const struct cast *cast)
{
    if (out[0])
        strcat(out, " ");
    sentence(out, size, pattern, cast);
}

static void plot_story(char *out, size_t size, const struct plot *plot, struct cast *cast,
                       struct random *random)
{
    if (plot->second == WITH_FRIEND)
        cast->person[1] = cast->town->friend[cast->person[0]];
    if (plot->second == WITH_TEACHER)
        cast->person[1] = cast->town->teacher[cast->person[0]];
    for (int i = 0; i < SLOTS && plot->slots[i][0]; i++)
        add(out, size, choose(random, plot->slots[i], CHOICES), cast);
}

/* Everything about one person, in any order; after the first sentence the name may be a pronoun. */
static void portrait(char *out, size_t size, struct cast *cast, struct random *random)
{
    int order[RELATIONS];

    random_order(random, order, RELATIONS);
    for (int i = 0; i < RELATIONS; i++) {
        const char *const *tell = relation_words[order[i]].tell[EN];
        if (!tell[0])
            continue;
        cast->pronoun = out[0] && random_below(random, 2);
        add(out, size, choose(random, tell, STATEMENTS), cast);
    }
}

/* One relation of many people, as a list in a textbook. */
static void register_of(char *out, size_t size, struct cast *cast, struct random *random)
{
    int order[PEOPLE], relation;

    do
        relation = (int)random_below(random, RELATIONS);
    while (!relation_words[relation].tell[EN][0]);
    const char *pattern = choose(random, relation_words[relation].tell[EN], STATEMENTS);
    random_order(random, order, PEOPLE);
    for (int i = 0; i < 10; i++) {
        cast->person[0] = order[i];
        add(out, size, pattern, cast);
    }
}

static void textbook(char *out, size_t size, struct cast *cast, struct random *random)
{
    int count = 0;

    while (lessons[EN][count].told)
        count++;
    for (int i = 0; i < 7; i++)
        add(out, size, lessons[EN][random_below(random, (uint32_t)count)].told, cast);
}

static void sums(char *out, size_t size, struct cast *cast, struct random *random)
{
    for (int i = 0; i < 10; i++) {
        int a = (int)random_below(random, SUM_MAX + 1), b = (int)random_below(random, SUM_MAX + 1);
        bool minus = random_below(random, 2);
        cast->number[0] = minus ? a + b : a;
        cast->number[1] = b;
        cast->number[2] = minus ? a : a + b;
        add(out, size, minus ? "$N1 - $N2 = $N3." : "$N1 + $N2 = $N3.", cast);
    }
}

/* Counting up or down in steps of 1, 2 or 5. */
static void counting(char *out, size_t size, struct cast *cast, struct random *random)
{
    static const int steps[] = {1, 2, 5};
    int step = steps[random_below(random, 3)], at = (int)random_below(random, 40);
    bool down = random_below(random, 3) == 0;

    add(out, size, down ? "We count down:" : "We count:", cast);
    for (int i = 0; i < 10; i++) {
        cast->number[0] = at + step * (down ? 9 - i : i);
        add(out, size, i < 9 ? "$N1," : "$N1.", cast);
    }
}

static void (*const papers[])(char *, size_t, struct cast *, struct random *) = {
    portrait, register_of, textbook, sums, counting,
};
_Static_assert(STORIES == PLOTS + sizeof papers / sizeof papers[0], "each kind has a row");

void story(char *out, size_t size, const struct town *town, int kind, struct random *random)
{
    struct cast cast = make_cast(town, random);

    out[0] = 0;
    if (kind < PLOTS)
        plot_story(out, size, &plots[kind], &cast, random);
    else
        papers[kind - PLOTS](out, size, &cast, random);
}
