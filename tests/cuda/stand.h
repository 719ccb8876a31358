/* stand.h - a host side for the kernels' tests: the operations of kernels/cuda as a struct kernels
 * whose device memory is the host's, exact to the byte, and whose queue is empty at once. */
#ifndef HONE_CUDA_STAND_H
#define HONE_CUDA_STAND_H
#include "kernels/kernels.h"
extern const struct kernels stand;
#endif
