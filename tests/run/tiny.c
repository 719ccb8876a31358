/* tiny.c - writes a model folder for the tests of whole runs: `tiny DIR [LAYERS]`. */
#include "tests/run/tiny_model.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    struct arena a = arena_make(0);
    struct err err;
    int layers = argc > 2 ? argv[2][0] - '0' : 2;
    if (argc < 2 || layers < 1 || layers > LAYERS_MOST) return 2;
    bool ok = tiny_write(argv[1], layers, &a, &err);
    if (!ok) fprintf(stderr, "%s\n", err.text);
    arena_drop(&a);
    return !ok;
}
