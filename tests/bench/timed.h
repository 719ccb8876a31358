/* timed.h - a backend that is another one with a clock around every operation: the budget of a step
 * without a line of timing in the product. */
#ifndef HONE_BENCH_TIMED_H
#define HONE_BENCH_TIMED_H
#include "kernels/kernels.h"

/* What an operation is held against: FLOP against the peak, products against the library's too,
 * bytes against the read bandwidth. */
enum timed_kind { TIMED_FLOPS, TIMED_PRODUCT, TIMED_BYTES };
enum product_kind { PRODUCT_FORWARD, PRODUCT_BACK, PRODUCT_GRAD };

struct timed_row {
    const char *name;             /* "linear_back" */
    int a, b, c;                  /* its shape: rows, columns; products: rows x out x in */
    enum timed_kind kind;
    enum product_kind product;
    enum dtype type;              /* of a product or of FLOP */
    long calls;
    double seconds, work;         /* FLOP or bytes, by kind */
};
enum { TIMED_ROWS = 256 };
struct timed { struct timed_row rows[TIMED_ROWS]; int n; };

double seconds_now(void);
/* The table whose rows time those of `real`; one at a time. */
const struct kernels *timed_over(const struct kernels *real);
void timed_reset(void);
const struct timed *timed_so_far(void);
#endif
