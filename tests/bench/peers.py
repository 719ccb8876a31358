"""peers.py BUILD [ROW...]: hone beside torch with transformers and PEFT, and beside llama.cpp, in turn (A B A B), a process a
measurement, on the same weights, the same tokens, the same order; ratios within one run, with their bars.

PEERS names a virtual environment with torch, transformers, peft (and llama_cpp for decode and prompt), else python3's own is
asked. COMPILE=1 tries torch.compile too (minutes). HONE_MATERIAL has SmolLM2's GGUF, prose and rows (tests/material.sh).
WORK keeps models and runs. Rows: 135m-full 135m-lora 110m-full 110m-lora alpaca llama; all without."""
import glob, json, os, re, shutil, statistics, subprocess, sys, tempfile, threading, time

build, rows = os.path.abspath(sys.argv[1]), sys.argv[2:]
hone = build + "/hone"
here = os.path.dirname(os.path.abspath(__file__))
peers = os.environ.get("PEERS", "")
python = peers + "/bin/python" if peers else sys.executable
material = os.path.abspath(os.environ.get("HONE_MATERIAL", "material"))
work = os.environ.get("WORK") or tempfile.mkdtemp(prefix="hone-peers-")
os.makedirs(work, exist_ok=True)
os.environ.update(HONE_HOME=work + "/home", XDG_CONFIG_HOME=work + "/config", B=build)
threads = len(os.sched_getaffinity(0))
wide = "avx512_bf16" in open("/proc/cpuinfo").read() and os.environ.get("HONE_ISA") not in ("avx2", "avx512")

# name: (bars with AVX-512 BF16, bars with AVX2); memory: less is better.
BARS = {"135m-full": ((1.4, 1.8, 2.1), (1.12, 1.25, 1.35)), "110m-full": ((1.4, 1.8, 2.1), (1.2, 1.35, 1.45)),
        "lora": ((2, 2.5, 3), (1.35, 1.55, 1.7)), "alpaca": ((2, 2.5, 3), (2, 2.5, 3)),
        "memory-full": ((0.6, 0.45, 0.35),) * 2, "memory-lora": ((0.5, 0.4, 0.3),) * 2,
        "decode": ((1.4, 1.6, 1.8), (1.1, 1.3, 1.4)), "prompt": ((1.1, 1.3, 1.45),) * 2, "reading": ((75, 88, 95),) * 2}
SHAPES = {
    "135m": dict(length=512, micro=4, steps=5),
    "110m": dict(length=1024, micro=4, steps=5,
                 config=dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
                             num_key_value_heads=12, vocab_size=32000, max_position_embeddings=2048, rms_norm_eps=1e-5,
                             tie_word_embeddings=True, bos_token_id=1, eos_token_id=2))}
PROMPT, DECODE = 512, 48


def say(*what):
    print(*what, flush=True)


def mark(name, value):
    bars = BARS[name][0 if wide else 1]
    less = bars[0] > bars[2]
    names = [n for n, bar in zip(("floor", "good", "moonshot"), bars) if (value <= bar if less else value >= bar)]
    return names[-1] if names else "UNDER THE FLOOR of %g" % bars[0]


def run(*args, **more):
    p = subprocess.run(args, capture_output=True, text=True, **more)
    if p.returncode:
        sys.exit("%s: status %d\n%s" % (" ".join(args)[:200], p.returncode, (p.stdout + p.stderr)[-3000:]))
    return p.stdout


def torch(what, limit=None, **job):
    """A job for peer_torch.py; None where it takes longer than its limit."""
    try:
        return json.loads(run(python, here + "/peer_torch.py", json.dumps(dict(job, what=what)), timeout=limit).splitlines()[-1])
    except subprocess.TimeoutExpired:
        return None


def peak_of(pid):
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/%d/status" % pid).read()).group(1)) * 1024
    except (OSError, AttributeError):
        return 0


def watch(folder, peak, ended):
    """The peak of the engine's memory: the system keeps it, so asking now and then is enough."""
    while not ended.wait(0.1):
        try:
            peak[0] = max(peak[0], peak_of(json.load(open(folder + "/state.json"))["pid"]))
        except (OSError, ValueError, KeyError):
            pass


def hone_train(name, profile):
    path, folder = "%s/%s.yaml" % (work, name), "%s/run-%s-%d" % (work, name, time.time_ns())
    open(path, "w").write(profile)
    peak, ended = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(folder, peak, ended))
    watcher.start()
    start = time.time()
    try:
        lines = run(hone, "train", path, "--run-dir", folder, "--json").splitlines()
    finally:
        wall = time.time() - start
        ended.set()
        watcher.join()
    events = [json.loads(line) for line in lines]
    steps = [[e["seconds"], e["loss"]] for e in events if e["kind"] == "step"]
    return {"steps": steps, "peak": peak[0], "wall": wall, "folder": folder, "start": next(e for e in events if e["kind"] == "start"),
            "tokens": sum(e["tokens"] for e in events if e["kind"] == "step"), "loop": sum(s for s, _ in steps)}


PROFILE = """name: %(name)s
base_model: %(model)s
dtype: auto
max_length: %(length)d
datasets:
  rows: {path: %(rows)s, format: %(format)s}
train: %(train)s
lora: {rank: 16, alpha: 32, dropout: 0, target_modules: all-linear%(init)s}
learning_rate: 1e-4
lr_scheduler: constant
warmup_steps: 0
optimizer: {weight_decay: 0.1, beta1: 0.9, beta2: 0.95}
max_grad_norm: 1.0
%(batch)s
shuffle: false
eval: {every_steps: 0, holdout: 0}
save: {every_steps: 0, total_limit: 1, keep_best: false}
stages:
  - {name: only, datasets: {rows: 1.0}, epochs: 1}
"""


def profile(name, model, length, data, form, adapter, batch):
    return PROFILE % dict(name=name, model=model, length=length, rows=data, format=form, train="lora" if adapter else "full",
                          init=", init_from: " + adapter if adapter else "", batch=batch)


# ---- what both sides begin with ----

def smollm2():
    folder, gguf = work + "/smollm2", material + "/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not os.path.exists(folder):
        if not os.path.exists(gguf):
            sys.exit("%s is not there: sh tests/material.sh %s model prose instruct" % (gguf, material))
        run(hone, "import", gguf, folder, "--dtype", "bf16")
    return folder


def random_model(shape):
    folder = work + "/random-" + shape
    if not os.path.exists(folder):
        torch("make_model", model=folder, config=SHAPES[shape]["config"])
        open(folder + "/tokenizer.json", "w").write('{"model": {"type": "bytes"}}')
    return folder


def model_of(shape):
    return random_model(shape) if "config" in SHAPES[shape] else smollm2()


def adapter_of(model):
    folder = model + "-adapter"
    if not os.path.exists(folder):
        torch("make_adapter", model=model, adapter=folder)
    return folder


def windows(shape):
    """Prose in the shape's vocabulary, cut into full windows."""
    s, path = SHAPES[shape], "%s/%s.jsonl" % (work, shape)
    model = material + "/mistral-v1.model" if "config" in s else smollm2()
    ids = [int(x) for x in run(hone, "tokenize", model, material + "/prose-en.txt").split()]
    with open(path, "w") as f:
        for i in range(s["steps"] * s["micro"]):
            f.write(json.dumps({"input_ids": ids[i * s["length"]:(i + 1) * s["length"]]}) + "\n")
    return path


def settings():
    list = ["fp32", "bf16", "amp"] if wide else ["fp32"]
    return list + [s + "+compile" for s in list if os.environ.get("COMPILE")]


def rate(steps, tokens):
    """Tokens a second of the best step after the first."""
    return tokens / min(s for s, _ in steps[1:])


def try_settings(job, tokens):
    """Each of torch's settings for three steps: {setting: (tokens a second, how far its losses are from fp32's)}."""
    tried, exact = {}, None
    for setting in settings():
        got = torch("step", limit=600 if "compile" in setting else 240, **dict(job, setting=setting, steps=3))
        if not got:
            say("  torch %-14s is too slow" % setting)
            continue
        exact = exact or got["steps"]
        away = max(abs(a[1] - b[1]) for a, b in zip(got["steps"], exact))
        tried[setting] = (rate(got["steps"], tokens), away)
        say("  torch %-14s %7.1f tokens/s  peak %.2f GB  losses within %.3f of fp32's" % (setting, tried[setting][0], got["peak"] / 1e9, away))
    return tried


# ---- rows ----

def compare_steps(shape, kind):
    s, model, data = SHAPES[shape], model_of(shape), windows(shape)
    adapter = adapter_of(model) if kind == "lora" else None
    tokens = s["length"] * s["micro"]
    name = "%s-%s" % (shape, kind)
    say("\n%s: T %d, micro-batch %d, %d steps, one document a window, every token labelled" % (name, s["length"], s["micro"], s["steps"]))
    job = dict(model=model, adapter=adapter, rows=data, length=s["length"], micro=s["micro"], steps=s["steps"], lr=1e-4)
    tried = try_settings(job, tokens)
    job["setting"] = max(tried, key=lambda x: tried[x][0])
    equal = max(rate for rate, away in tried.values() if away < 0.02)
    ours, theirs = [], []
    text = profile(name, model, s["length"], data, "tokens", adapter,
                   "packing: none\nmicro_batch_size: %d\ngradient_accumulation_steps: 1" % s["micro"])
    for turn in range(2):
        ours.append(hone_train(name, text))
        theirs.append(torch("step", **job))
        for who, got in (("hone " + ours[-1]["start"]["dtype"], ours[-1]), ("torch " + job["setting"], theirs[-1])):
            say("  %-20s %7.1f tokens/s (median %.1f)  peak %.2f GB  losses %s" % (
                who, rate(got["steps"], tokens), tokens / statistics.median(t for t, _ in got["steps"][1:]), got["peak"] / 1e9,
                " ".join("%.4f" % loss for _, loss in got["steps"])))
    fastest = max(rate(x["steps"], tokens) for x in ours)
    best = max(rate(x["steps"], tokens) for x in theirs)
    if tried[job["setting"]][1] < 0.02:
        equal = max(equal, best)
    speed = fastest / best
    memory = max(x["peak"] for x in ours) / min(x["peak"] for x in theirs)
    v = theirs[0]["versions"]
    say("  versions: torch %s, transformers %s, peft %s, %d threads; hone %s, %s" % (
        v["torch"], v["transformers"], v.get("peft", "-"), v["threads"], ours[0]["start"]["version"], ours[0]["start"]["isa"]))
    say("  SPEED %.2fx of its fastest (%s), %.2fx of its fastest with equal losses   MEMORY %.2fx (%s)" % (
        speed, mark("lora" if kind == "lora" else name, speed), fastest / equal, memory, mark("memory-" + kind, memory)))


def compare_alpaca():
    model, data = smollm2(), material + "/alpaca_en_demo.json"
    adapter = adapter_of(model)
    subset = work + "/alpaca.json"
    with open(data) as f:
        json.dump(json.load(f)[:128], open(subset, "w"))
    say("\nalpaca: LoRA r 16 over 128 rows, once; torch pads batches of 8 rows, hone packs about as many tokens a step")
    setting = "fp32"
    if wide:
        tried = {s: torch("alpaca", model=model, adapter=adapter, rows=data, n=24, length=512, micro=8, lr=1e-4, setting=s) for s in ("bf16", "amp")}
        setting = min(tried, key=lambda s: tried[s]["loop"])
        say("  " + ", ".join("torch %s: %.1f s for 24 rows" % (s, tried[s]["loop"]) for s in tried))
    text = profile("alpaca", model, 512, subset, "alpaca", adapter, "batch_tokens: 1536")
    ours, theirs = [], []
    for turn in range(2):
        shutil.rmtree(work + "/home/cache", ignore_errors=True)  # nothing is remembered of the rows
        ours.append(hone_train("alpaca", text))
        theirs.append(torch("alpaca", model=model, adapter=adapter, rows=data, n=128, length=512, micro=8, lr=1e-4, setting=setting,
                            evaluate=work + "/alpaca-rows.jsonl" if turn else ""))
    before, after = (json.loads(run(hone, "eval", x, work + "/alpaca-rows.jsonl", "--dtype", "fp32", "--json").splitlines()[-1])
                     for x in (model, ours[1]["folder"]))
    for who, got in (("hone", ours), ("torch " + setting, theirs)):
        say("  %-12s wall %s s, steps alone %s s, %d steps" % (who, " ".join("%.1f" % g["wall"] for g in got),
            " ".join("%.1f" % g["loop"] for g in got), len(got[0]["steps"])))
    say("  through the model: hone %d tokens, torch %d; %d and %d labels; loss over them %.4f before, after hone %.4f, after torch %.4f" % (
        ours[0]["tokens"], theirs[0]["computed"], after["tokens"], theirs[1]["trained"], before["nats_per_token"], after["nats_per_token"],
        theirs[1]["loss"]))
    peak = max(x["peak"] for x in ours) / theirs[0]["peak_trained"]
    ratio = min(x["wall"] for x in theirs) / min(x["wall"] for x in ours)
    say("  WALL %.2fx (%s)   MEMORY %.2fx (%s)" % (ratio, mark("alpaca", ratio), peak, mark("memory-lora", peak)))


def gguf(model, type):
    """The same weights as a GGUF, by a run that changes nothing."""
    path = "%s/smollm2-%s.gguf" % (work, type)
    if not os.path.exists(path):
        more = {"bf16": ["--dtype", "bf16"], "f32": ["--dtype", "fp32"], "q8_0": ["--q8"]}[type]
        run(hone, "export", model, work + "/exported-" + type, "--gguf", path, *more)
    return path


def bench_step(model, mode, type="bf16"):
    text = run(build + "/tests/bench/bench_step", model, mode, type)
    share = re.search(r"([\d.]+) % of reading", text)
    return float(re.search(r"([\d.]+) tokens/s", text).group(1)), float(share.group(1)) if share and mode == "decode" else 0


def compare_llama():
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode:
        say("\nllama: %s has no llama_cpp, so decode and prompt are not compared" % python)
        return
    model = smollm2()
    say("\nllama: SmolLM2-135M, batch 1, prompt of %d, %d tokens one by one" % (PROMPT, DECODE))
    theirs, ours, prompts = {}, [], []
    for turn in range(2):
        ours.append(bench_step(model, "decode"))
        prompts.append(bench_step(model, "prompt", "bf16" if wide else "f32")[0])
        for type in ("bf16", "f32", "q8_0"):
            got = json.loads(run(python, here + "/peer_llama.py", gguf(model, type), str(PROMPT), str(DECODE), str(threads)).splitlines()[-1])
            best = theirs.setdefault(type, got)
            best.update({k: max(best[k], got[k]) for k in ("prompt", "decode")})
    for type, got in theirs.items():
        say("  llama.cpp %-5s decode %6.1f tokens/s, prompt %7.1f (binding %s)" % (type, got["decode"], got["prompt"], got["version"]))
    decode, share = max(ours)
    say("  hone      bf16  decode %6.1f tokens/s, prompt %7.1f; %.0f %% of reading (%s)" % (decode, max(prompts), share, mark("reading", share)))
    ratio, prompt = decode / theirs["bf16"]["decode"], max(prompts) / max(t["prompt"] for t in theirs.values())
    say("  DECODE %.2fx of llama.cpp's bf16 (%s)   PROMPT %.2fx of its best (%s)" % (ratio, mark("decode", ratio), prompt, mark("prompt", prompt)))


def main():
    if subprocess.run([python, "-c", "import torch, transformers, peft"], capture_output=True).returncode:
        sys.exit("%s has no torch, transformers and peft. `make test-peft` makes an environment with them: PEERS=%s/venv-peft" % (python, build))
    say(re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read()).group(1), "%d threads," % threads,
        "AVX-512 BF16" if wide else "AVX2", " load", open("/proc/loadavg").read().split()[0])
    for row in rows or ["135m-full", "135m-lora", "110m-full", "110m-lora", "alpaca", "llama"]:
        shape, _, kind = row.partition("-")
        {"alpaca": compare_alpaca, "llama": compare_llama}.get(row, lambda: compare_steps(shape, kind))()
    if not os.environ.get("WORK"):
        shutil.rmtree(work)


main()
