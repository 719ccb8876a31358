/* test.h - what every cmocka test includes first: cmocka, and hone's own fail() back. */
#ifndef HONE_TEST_H
#define HONE_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* cmocka's macro; base.h has a function of that name */
#undef fail_msg /* it was made of that macro */
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))
#endif
