#!/bin/sh
# t_cuda.sh - the CUDA kernels on a machine without a GPU: every operation against the reference through the shim of
# tests/cuda, in three builds that find different faults, the shim's own sentences, the words that no kernel may say,
# and what nvcc makes of each kernel (tests/cuda/limits.txt). 150 s of processor time in two strands, 38 of them nvcc.
# tests/cuda/plant.py plants faults and says which build sees them.
