/* fuzz.h - what a harness is made of. One file a target: f_NAME.c defines fuzz(), fuzz_seeds() and
 * fuzz_limits; a row of targets.txt names it. `make fuzz T=NAME S=600` runs it; tests/fuzz.sh is
 * the driver.
 *
 * A harness is the real parser and an oracle: a second computation of the same thing that shares no
 * code with the first, or a property that must hold. Without one a fuzzer finds crashes and no
 * lies. What must hold is said with HOLDS; a sentence for the user passes fuzz_sentence. Around
 * each input the driver checks that all memory and every descriptor is given back, how much was in
 * use at most, and the processor time it took. */
#ifndef HONE_FUZZ_H
#define HONE_FUZZ_H
#include "engine/base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory that an input may take: floor + times * its length. kept: what all of them together may
 * leave behind, 0 where the product keeps nothing on purpose. */
struct fuzz_limits {
    int64_t floor;
    int times;
    int64_t kept;
};
extern const struct fuzz_limits fuzz_limits;

void fuzz(struct text in, struct arena *a); /* the arena is empty, and dropped afterwards */
void fuzz_start(void); /* once, before the first input, where a harness has it */
void fuzz_seeds(void); /* calls seed for each hostile and each good example */

/* The product is done: from here on memory and time are the oracle's and not counted, but must be
 * given back too. */
void fuzz_oracle(void);

void seed(const void *p, size_t n);
void seed_text(const char *terminated);
/* A file of the repository, or all files of a folder whose names end so. */
void seed_file(const char *path);
void seed_folder(const char *path, const char *end);

/* A file of a million bytes: head, part after part with '#' counted up, tail. Such files are
 * replayed, not changed. */
void seed_many(const char *head, const char *part, const char *tail);
void fuzz_many(struct buf *out, const char *part, size_t bytes);

_Noreturn void fuzz_broken(const char *file, int line, const char *what);
#define HOLDS(x) ((x) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #x))
/* An error is a sentence: something is said, in UTF-8, and nothing in it acts on a terminal. */
void fuzz_sentence(const char *text);
bool fuzz_harmless(struct text t,
                   bool newlines); /* UTF-8 without C0, DEL, C1, bidi or zero width controls */

/* The bytes as a regular file of that name, in a folder that all of them share; nothing is written
 * to a disk. */
const char *fuzz_file(const char *name, struct text content);
const char *fuzz_files(void); /* that folder */
/* An empty folder in memory, made anew for each call. */
const char *fuzz_folder(void);
void fuzz_put(const char *folder, const char *name, struct text content);

/* Takes the input apart: what stands before the next `mark` byte (all where there is none), which
 * is taken too. */
struct text fuzz_until(struct text *rest, char mark);
uint64_t fuzz_number(struct text *rest,
                     int bytes); /* little endian, from the front; missing bytes are 0 */
#endif
