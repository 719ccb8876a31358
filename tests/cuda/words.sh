#!/bin/sh
# words.sh: what no kernel may say, since the shim could not see it or a device would be free to differ. Prints a line
# for each breach; silent when there is none.
cd "$(dirname "$0")/../.." || exit 2
refuse() { # refuse WORDS REASON [FILE]: only FILE may say it
    grep -nE "$1" kernels/cuda/*.cu kernels/cuda/port.h kernels/cuda/tensor.h kernels/cuda/element.h \
        kernels/cuda/sums.h kernels/cuda/tiles.h kernels/cuda/moments.h kernels/cuda/attention.h |
        grep -vE '^[^:]*:[0-9]*: *(/?\*|//)' | { [ -n "$3" ] && grep -v "^$3:" || cat; } | sed "s|\$|   -- $2|"
}
refuse '__shared__' 'shared memory by SHARED and SHARED_DYNAMIC' kernels/cuda/port.h
refuse '<<<' 'kernels by launch()' kernels/cuda/port.h
refuse '\<asm\>|__asm' 'PTX in tensor.h' kernels/cuda/tensor.h
refuse 'cooperative_groups|\<grid\.sync|this_grid|__cluster|cluster_dims' 'no groups, grids or clusters that meet'
refuse '\<cub::|<cub/|<thrust/' 'no library in kernels'
refuse '__activemask|__match_(any|all)' 'masks are written down'
refuse '__threadfence' 'blocks meet at the end of a kernel'
refuse '\<mem(cpy|set|move) *\(' 'the race checker cannot see it' kernels/cuda/port.h
refuse 'atomic(Exch|CAS|Inc|Dec|Sub|And|Or|Xor)' 'sums of whole numbers are the only atomics'
refuse '\<volatile\>|while *\(.*(atomic|\[0\] *[=!]= )' 'no waiting for another block' kernels/cuda/tensor.h
refuse '\<(clock|clock64|printf|malloc|free|assert) *\(' 'not in a kernel'
refuse '__(global|launch_bounds)__' 'kernels by KERNEL' kernels/cuda/port.h
refuse '__(sin|cos|pow|tan|exp10|log2|log10)f|__fdividef|__expf|__logf' 'intrinsics that are only about right'
