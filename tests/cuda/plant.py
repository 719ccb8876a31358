"""plant.py OUT [FIRST [KINDS]]: whether tests/t_cuda.sh would see it. Each row is a fault as one makes it, planted into a copy of a
file, with the operation's test that should turn red; the three builds are tried, and what each said is printed. A fault
that none of them sees ends with status 1. OUT has the builds of t_cuda.sh (BUILD/cuda-kernels). About ten minutes.

What found what (p: plain, six schedules and fillings; a: ASan and UBSan, one; r: the race checker, one; the last six
were tried in the plain build only):

  par  a missing barrier; a reduction over half a warp; no wait for an asynchronous copy; swapped fragments; shared
       memory that is not set; one column too many; one row too many; no __syncwarp between lanes; a full mask called
       by part of a warp (the shim's sentence)
  p-r  no barrier before a tile is loaded again; a reduction's buffer that is used again too early (both where a warp
       runs ahead); no barrier before a row is overwritten (threads backwards)
  pa-  vectors at odd addresses
  -ar  too few dynamic bytes
  --r  two blocks that write the same place
  p    a barrier in a divergent branch (the shim's sentence); a key too many seen; a group's last head left out; a share
       of keys left out; the other half of a draw (once there was a test of its own); equals of top-k dropped
"""
import os, pathlib, shutil, subprocess, sys

HEADER = "element.h"
FAULTS = [  # name, file, objects to make again, test, what stands there, what is planted
    ("a missing barrier", HEADER, "norm", "norm*", "    if (lane == 0) between[warp] = v;\n    __syncthreads();\n    return warp_sum", "    if (lane == 0) between[warp] = v;\n    return warp_sum"),
    ("a reduction over half a warp", HEADER, "norm", "norm*", "static inline T warp_sum(T v) {\n    for (int with = 16;", "static inline T warp_sum(T v) {\n    for (int with = 8;"),
    ("no barrier before a tile is loaded again", "attention_forward.cu", "attention_forward", "attn*", "        __syncthreads(); /* before its stage is loaded again */\n", ""),
    ("no wait for an asynchronous copy", "product.cu", "product", "linear_agrees*", "        copies_wait<STAGES - 2>();\n", ""),
    ("swapped fragments", "product.cu", "product", "linear_agrees*", "b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]", "b[j / 2][j % 2 * 2 + 1], b[j / 2][j % 2 * 2]"),
    ("shared memory that is not set", "norm.cu", "norm", "norm*", "for (int i = 0; i < W; i++) sum[col + i] = 0;", "for (int i = 1; i < W; i++) sum[col + i] = 0;"),
    ("no barrier before a row is overwritten", "loss.cu", "loss", "xent*", "if (over) __syncthreads();", ""),
    ("a reduction's buffer that is used again too early", HEADER, "norm", "norm*", "    v = warp_sum(v);\n    __syncthreads(); /* a former sum may still be read */\n", "    v = warp_sum(v);\n"),
    ("one column too many", HEADER, "rows", "bias*", "if (col >= cols) return;", "if (col > cols) return;"),
    ("one row too many", "tiles.h", "product", "linear_agrees*", "left = row + r < rows ?", "left = row + r <= rows ?"),
    ("vectors at odd addresses", HEADER, "activation", "swiglu*", "(uintptr_t)m.p % 16 == 0 && (m.rows < 2 || row % 16 == 0)", "(uintptr_t)m.p % 16 == 0 && (row > 0)"),
    ("too few dynamic bytes", "norm.cu", "norm", "norm*", "(size_t)x.cols * sizeof(float) : 0", "(size_t)x.cols * sizeof(float) - 4 : 0"),
    ("two blocks that write the same place", "loss.cu", "loss", "xent*", "    if (grad.p) gradient_row", "    if (threadIdx.x == 0 && row > 0) loss[0] += 0;\n    if (grad.p) gradient_row"),
    ("no __syncwarp between lanes", "attention.cu", "attention", "attn*", "row_to_shared(rows[warp], a.q, row, col, n);\n    __syncwarp();", "row_to_shared(rows[warp], a.q, row, col, n);"),
    ("a full mask called by part of a warp", HEADER, "norm", "norm*", "return warp_sum(lane < warps ? between[lane] : (T)0);", "return lane < warps ? warp_sum(between[lane]) : (T)0;"),
    ("a barrier in a divergent branch", "norm.cu", "norm", "norm*", "    squares = block_sum(squares, between);", "    if ((int)threadIdx.x * W < x.cols) __syncthreads();\n    squares = block_sum(squares, between);"),
    ("a key too many seen", "attention_forward.cu", "attention_forward", "attn*", "t + i % 2 >= seen[h]) *x = -INFINITY;", "t + i % 2 > seen[h]) *x = -INFINITY;"),
    ("a group's last head left out", "attention_backward.cu", "attention_backward", "attn*", "head < (kv_head + 1) * a.group; head++", "head < (kv_head + 1) * a.group - (a.group > 1); head++"),
    ("a share of keys left out", "attention.cu", "attention", "attn*", "for (int s = 0; s < count; s++) {\n", "for (int s = 1; s < count; s++) {\n"),
    ("the other half of a draw", "update.cu", "update", "narrow*", "draw_m[i] = random >> 16, draw_v[i] = random & 0xFFFF;", "draw_v[i] = random >> 16, draw_m[i] = random & 0xFFFF;"),
    ("equals of the last of top-k dropped", "sample.cu", "sample", "sample*", "if (key < least ||", "if (key <= least ||"),
]
BUILDS = [("plain", "6", "marked"), ("asan", "1", "exact"), ("race", "1", "exact")]


def red(base, out, build, fault):
    name, file, again, test, old, new = fault
    kind, schedules, buffers = build
    folder, plant = out / kind, out / "plant"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(plant, ignore_errors=True)
    shutil.copytree(base / kind, folder)
    (plant / "kernels/cuda").mkdir(parents=True)
    text = pathlib.Path("kernels/cuda", file).read_text()
    if text.count(old) != 1:
        sys.exit(f"{name}: {file} has what it replaces {text.count(old)} times")
    (plant / "kernels/cuda" / file).write_text(text.replace(old, new))
    (folder / f"{again}.cu.o").unlink()
    env = dict(os.environ, PLANT=str(plant), CMOCKA_MESSAGE_OUTPUT="stdout")
    subprocess.run(["sh", "tests/cuda/build.sh", str(folder), kind], env=env, check=True, capture_output=True)
    run = subprocess.run([folder / "operations", schedules, buffers, test], env=env, timeout=300, capture_output=True, text=True, errors="replace")
    lines = [l for l in (run.stdout + run.stderr).splitlines() if any(w in l for w in ("case", "error 7", "rror:", "AddressS"))]
    return run.returncode != 0, lines[0][:150] if lines else f"status {run.returncode}"


def main():
    base = pathlib.Path(sys.argv[1])
    out, missed, kinds = base / "planted", 0, sys.argv[3] if len(sys.argv) > 3 else "par"
    for fault in FAULTS[int(sys.argv[2]) if len(sys.argv) > 2 else 0:]:
        seen = [(b[0], *red(base, out, b, fault)) for b in BUILDS if b[0][0] in kinds]
        letters = "".join(kind[0] if bad else "-" for kind, bad, _ in seen)
        print(f"{letters} {fault[0]}", *[f"      {kind}: {line}" for kind, bad, line in seen if bad], sep="\n", flush=True)
        missed += set(letters) == {"-"}
    sys.exit(missed > 0)


os.chdir(pathlib.Path(__file__).parents[2])
main()
