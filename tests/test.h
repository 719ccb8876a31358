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
#endif
