#!/bin/sh
# t_cuda.sh - the CUDA kernels on a machine without a GPU: every operation against the reference through the shim of
# tests/cuda, in three builds that find different faults, the shim's own sentences, the words that no kernel may say,
# and what nvcc makes of each kernel (tests/cuda/limits.txt). About two minutes of a core, in two strands.
#
