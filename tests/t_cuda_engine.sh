#!/bin/sh
# t_cuda_engine.sh - the whole engine on the CUDA backend without a GPU: the same host objects as the plug-in's, with
# fakes of the driver's and NVIDIA's libraries (tests/cuda/fake.h).
#
#   build/cuda/ref     the operations by kernels/ref: every fixture of transformers and PEFT in four legal orders of
#                      streams, then whole runs of the program
#   build/cuda/fibers  the operations by the kernels themselves, as C++ on fibers: a fixture of each kind
#
# A minute and a half of a core. Without a toolkit (its headers are needed) it is skipped by name.
. "$(dirname "$0")/engine/kit.sh"
HB=${HONE_BUILD:-build}
[ "$(make -s B="$HB" cuda-here)" = yes ] || { echo "ok the engine on the CUDA backend # skip no CUDA toolkit: its headers are needed"; exit 0; }
make -s B="$HB" cuda-twins > "$dir/out" 2>&1 || { not_ok "the twins are built" "$(tail -n 20 "$dir/out")"; exit 1; }
mkdir -p "$HONE_HOME"
export HONE_CUDA="$B/cuda/lib" CMOCKA_MESSAGE_OUTPUT=tap

on() { # on TWIN ORDER PROGRAM [CASES]: all its tests pass, and on that backend
    HONE_BUILD="$B/cuda/$1" FAKE_ORDER=$2 HONE_CASES=$4 timeout 300 "$B/tests/cuda/$3_twin" > "$dir/out" 2>&1 &&
        ! grep -q 'backend cuda: \|^not ok [0-9]* - ' "$dir/out"
}
for order in eager lazy odd even; do
    check "fixtures agree with transformers, torch and PEFT, streams $order" on ref $order golden " mha gqa tied bias headdim llama3 linear odd lora-all lora-qv"
done
check "recompute, chats, caches and micro-batches change no bit" on ref odd model ""
case $HB in
*address*) echo "ok the kernels themselves, on fibers # skip t_cuda.sh has them under sanitizers" ;;
*)  check "the kernels themselves agree with torch, on fibers" on fibers even golden " gqa odd lora-qv"
    export HONE_TESTS='every_recompute*'
    check "every recompute policy gives the same bits by the kernels themselves" on fibers odd model ""
    export HONE_TESTS='a_step_*'
    steps() { HONE_TWIN=fibers HONE_BUILD=$B timeout 300 "$B/tests/cuda/t_step" > "$dir/out" 2>&1; }
    check "a step by the kernels themselves allocates nothing and waits once" steps
    unset HONE_TESTS ;;
esac

# ---- whole runs ----
ln -f "$B/hone" "$B/cuda/ref/hone" && ln -sf "$B/hone-cpu.so" "$B/cuda/ref/hone-cpu.so"
hone=$B/cuda/ref/hone
printf 'dtype: bf16\ndevice: cuda\nlearning_rate: 1e-2\n%s\n' "$stages" | profile gpu.yaml
printf 'dtype: fp32\ndevice: cuda:0\nlearning_rate: 1e-2\n%s\n' "$stages" | profile gpu32.yaml
says() { grep -q "$1" "$dir/out"; }

"$hone" doctor > "$dir/out" 2>&1
doctor_says() { says '^GPU *cuda:0 NVIDIA fake, sm_90' && says '^cuBLASLt *13.1.0, .*/cuda/lib/libcublasLt.so.13' && says '^driver *13.0' && says '^NVML *580.65.06' && says '^cuDNN *9.19.0' && says '^NCCL *2.28.9'; }
check "doctor says which GPU and which libraries there are" doctor_says
FAKE_DEVICES=0 "$hone" doctor > "$dir/out" 2>&1
check "doctor says why no GPU is used" says 'GPU *none is used: no GPU can be used: no CUDA-capable device'
HONE_CUDA=/nowhere "$hone" doctor > "$dir/out" 2>&1
no_library() { says 'products hone .*no cuBLASLt' && says '^cuBLASLt *libcublasLt.so.13 is not in /nowhere'; }
check "doctor says that cuBLASLt is missing and what does products then" no_library

"$hone" check "$dir/gpu.yaml" > "$dir/out" 2>&1
check "a GPU that is asked for is pinned by its number" says '^device: "cuda:0"'
"$hone" check "$dir/full.yaml" > "$dir/out" 2>&1
check "auto stays on the processor" says '^device: cpu'
FAKE_MEMORY=320000000 "$hone" check "$dir/gpu.yaml" > "$dir/out" 2>&1
check "a plan that a GPU has no memory for is refused" says 'needs .* at least and .* can be had'
FAKE_DEVICES=0 "$hone" check "$dir/gpu32.yaml" > "$dir/out" 2>&1
check "a GPU that is not there is refused by name" says 'device cuda: no GPU can be used'
printf 'device: "cuda:0,1"\n%s\n' "$stages" | profile two.yaml
"$hone" check "$dir/two.yaml" > "$dir/out" 2>&1
check "two GPUs are refused by name" says 'several GPUs at once is not built yet'

engine() { "$hone" engine "$@" >> "$dir/out" 2>&1; }
started_on() { grep '"kind":"start"' "$1/events.jsonl" | tail -n 1 | grep -q "\"backend\":\"$2\""; }
whole_run() { "$hone" train "$dir/$1.yaml" --run-dir "$dir/$1" > "$dir/out" 2>&1 && started_on "$dir/$1" cuda; }
check "a run trains on the GPU, bf16" whole_run gpu
check "a run trains on the GPU, fp32" whole_run gpu32
check "it waits for its turn on its own device" [ -d "$HONE_HOME/queue/cuda-0" ]

killed() { # killed RUN OF BACKEND: a run of that profile, until it is killed in its eleventh step
    rm -rf "$1"; mkdir -p "$1/ckpt" "$1/chat"
    cp "$dir/$2/profile.yaml" "$dir/$2/plan.json" "$1/"
    HONE_FAULT=write:1:kill HONE_FAULT_TEXT='"step":11,' LD_PRELOAD=$dir/faults.so engine "$1" --backend "$3"
    [ -d "$1/ckpt/000008" ] && [ ! -d "$1/ckpt/000012" ]
}
goes_on() { killed "$dir/again" "$1" cuda && engine "$dir/again" && same_run "$dir/$1" "$dir/again" && events_are_whole "$dir/again"; }
check "a killed run goes on bit by bit, bf16" goes_on gpu
check "a killed run goes on bit by bit, fp32" goes_on gpu32
near() { # near RUN RUN: losses of all steps within 2e-3
    for r in "$1" "$2"; do "$hone" metrics "$r" --csv | cut -d, -f1,4 > "$r.loss"; done
    paste -d, "$1.loss" "$2.loss" | awk -F, 'NR > 1 { n++; d = $2 - $4; if (d < 0) d = -d; if ($1 != $3 || d > 2e-3) bad = 1 } END { exit bad || n < 20 }'
}
crosses() { # crosses FROM TO
    killed "$dir/cross" gpu32 "$1" && engine "$dir/cross" --backend "$2" && started_on "$dir/cross" "$2" &&
        grep -q '"kind":"resumed".*"close"' "$dir/cross/events.jsonl" && near "$dir/gpu32" "$dir/cross"
}
check "a checkpoint of the processor continues on the GPU" crosses cpu cuda
check "a checkpoint of the GPU continues on the processor" crosses cuda cpu

lost() {
    rm -rf "$dir/lost"; mkdir -p "$dir/lost/ckpt" "$dir/lost/chat"
    cp "$dir/gpu/profile.yaml" "$dir/gpu/plan.json" "$dir/lost/"
    ! FAKE_FAIL=queued:2000 engine "$dir/lost" && says 'the cuda device failed: .*illegal memory access' &&
        [ "$(state_word "$dir/lost")" = failed ]
}
check "a device that is lost ends the run in a sentence" lost
