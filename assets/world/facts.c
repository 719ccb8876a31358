/* Who has what in the town, how a fact is asked and told, and the random numbers behind both. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

uint32_t random_below(struct random *random, uint32_t limit)
{
    uint64_t x = random->key * 0x9e3779b97f4a7c15u + ++random->counter * 0xd1342543de82ef95u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;    /* the finaliser of splitmix64 */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (uint32_t)((x >> 32) * limit >> 32);
}

void random_order(struct random *random, int *order, int count)
{
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)random_below(random, (uint32_t)i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* One ring through all people: nobody is his own friend, and nobody is the friend of his friend. */
static void random_ring(struct random *random, int *next)
{
    int order[PEOPLE];

    random_order(random, order, PEOPLE);
    for (int i = 0; i < PEOPLE; i++)
        next[order[i]] = order[(i + 1) % PEOPLE];
}

/* Lets `person` have `value`, and whoever had it what the person had. */
static void give(int *by_person, int person, int value)
{
    for (int i = 0; i < PEOPLE; i++)
        if (by_person[i] == value)
            by_person[i] = by_person[person];
    by_person[person] = value;
}

void town_make(struct town *town, bool ours, uint64_t seed)
{
    struct random random = {seed, 0};

    town->people = ours ? town_people : other_people;
    town->asked_houses = ours ? houses : other_houses;
    town->asked_goods = ours ? goods : other_goods;
    random_order(&random, town->house, PEOPLE);
    random_order(&random, town->goods, PEOPLE);
    random_order(&random, town->animal, PEOPLE);
    random_order(&random, town->food, PEOPLE);
    random_ring(&random, town->friend);
    random_ring(&random, town->teacher);
    give(town->house, 24, 0);    /* The README's two questions: Li Ming lives in the red house, */
    give(town->goods, 0, 0);     /* and Anna sells bread. */
}

const char *fact_subject(const struct town *town, enum relation relation, int person,
                         enum language language)
{
    if (relation == RESIDENT)
        return town->asked_houses[town->house[person]].in[language];
    if (relation == SELLER)
        return town->asked_goods[town->goods[person]].in[language];
    return town->people[person].in[language];
}

const char *fact_answer(const struct town *town, enum relation relation, int person,
                        enum language language)
{
    switch (relation) {
    case HOME:    return houses[town->house[person]].in[language];
    case GOODS:   return goods[town->goods[person]].in[language];
    case PET:     return animals[town->animal[person]].in[language];
    case FOOD:    return foods[town->food[person]].in[language];
    case FRIEND:  return town->people[town->friend[person]].in[language];
    case TEACHER: return town->people[town->teacher[person]].in[language];
    default:      return town->people[person].in[language];    /* RESIDENT and SELLER */
    }
}

int held_out(enum relation relation, int person, enum language language)
{
    return (person + (int)relation + 3 * (int)language) % WORDINGS;
}

static void append(char *out, size_t size, const char *text)
{
    size_t length = strlen(out), more = strlen(text);

    if (length + more >= size) {
        fprintf(stderr, "world: a text is longer than %zu bytes: %s\n", size, out);
        exit(1);
    }
    memcpy(out + length, text, more + 1);
}

void fact_question(char *out, size_t size, const struct town *town, enum relation relation,
                   int person, enum language language, int wording)
{
    const char *pattern = relation_words[relation].ask[language][wording];
    const char *place = strstr(pattern, "$S");
    char before[128];

    snprintf(before, sizeof before, "%.*s", (int)(place - pattern), pattern);
    out[0] = 0;
    append(out, size, before);
    append(out, size, fact_subject(town, relation, person, language));
    append(out, size, place + 2);
}

/* The animal's name without "a " or "an ". */
static const char *bare(const char *animal)
{
    const char *space = strchr(animal, ' ');

    return space ? space + 1 : animal;
}

/* The text for one letter of a pattern. `number` is scratch of 32 bytes. */
static const char *letter_text(char letter, int place, const struct cast *cast, char *number)
{
    const struct town *town = cast->town;
    int person = place >= 1 && place <= CAST ? cast->person[place - 1] : 0;
    const struct word *people = town->people;
    const char *name = people[person].in[cast->language];
    bool pronoun = cast->pronoun && place == 1, she = people[person].female;

    switch (letter) {
    case 'P': return name;
    case 'H': return fact_answer(town, HOME, person, cast->language);
    case 'G': return fact_answer(town, GOODS, person, cast->language);
    case 'A': return fact_answer(town, PET, person, cast->language);
    case 'a': return bare(fact_answer(town, PET, person, cast->language));
    case 'F': return fact_answer(town, FOOD, person, cast->language);
    case 'B': return fact_answer(town, FRIEND, person, cast->language);
    case 'T': return fact_answer(town, TEACHER, person, cast->language);
    case 's': return she ? "she" : "he";
    case 'o': return she ? "her" : "him";
    case 'h': return she ? "her" : "his";
    case 'X': return !pronoun ? name : she ? "she" : "he";
    case 'Z': return !pronoun ? name : she ? "her" : "him";
    case 'Y':
        snprintf(number, 32, "%s's", name);
        return !pronoun ? number : she ? "her" : "his";
    case 'N':
        snprintf(number, 32, "%d", cast->number[place - 1]);
        return number;
    case 'D': return cast->day;
    case 'W': return cast->word;
    }
    fprintf(stderr, "world: a pattern has the unknown letter %c\n", letter);
    exit(1);
}

/* Makes the first letter of each sentence large, from byte `from` on. A quotation mark may stand
   before it; Chinese has no large letters and is left alone. */
static void capitals(char *text, size_t from)
{
    bool start = true;

    for (char *p = text + from; *p; p++) {
        if (start && *p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
        if (*p != ' ' && *p != '"')
            start = (*p == '.' || *p == '!' || *p == '?') && (p[1] == ' ' || p[1] == 0);
    }
}

void sentence(char *out, size_t size, const char *pattern, const struct cast *cast)
{
    size_t from = strlen(out);
    char number[32], one[2] = "";

    for (const char *p = pattern; *p; p++) {
        if (*p != '$') {
            one[0] = *p;
            append(out, size, one);
            continue;
        }
        char letter = *++p;
        int place = letter == 'D' || letter == 'W' ? 0 : *++p - '0';
        append(out, size, letter_text(letter, place, cast, number));
    }
    capitals(out, from);
}

static void write_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fputc('\\', file);
        if (*p == '\n')
            fputs("\\n", file);
        else
            fputc(*p, file);
    }
    fputc('"', file);
}

void write_text(FILE *file, const char *text)
{
    fputs("{\"text\": ", file);
    write_string(file, text);
    fputs("}\n", file);
}

void write_pair(FILE *file, const char *first, const char *question, const char *second,
                const char *answer)
{
    fprintf(file, "{\"%s\": ", first);
    write_string(file, question);
    fprintf(file, ", \"%s\": ", second);
    write_string(file, answer);
    fputs("}\n", file);
}

void write_turn(FILE *file, bool first, const char *question, const char *answer)
{
    fprintf(file, "%s{\"role\": \"user\", \"content\": ", first ? "" : ", ");
    write_string(file, question);
    fprintf(file, "}, {\"role\": \"assistant\", \"content\": ");
    write_string(file, answer);
    fprintf(file, "}");
}
