#!/usr/bin/env python3
"""Writes the state that the golden screens show into tests/golden/screens/state: invented numbers of the
shape that the commands print, so that every screen has something of everything, hostile text among it."""
import json, math, os, pathlib

root = pathlib.Path(__file__).resolve().parent.parent / "golden" / "screens" / "state"
T0 = 1763812800.0  # 2025-11-22 12:00:00 UTC


def write(name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def lines(rows):
    return "".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n" for r in rows)


def model(name, family, parameters, dtype, context, full, lora, **more):
    return dict({"name": name, "path": "/models/" + name, "family": family, "dtype": dtype, "tokenizer": "byte-level BPE",
                 "licence": "Apache-2.0", "parameters": parameters, "bytes": parameters * 2, "context": context, "shipped": False,
                 "layers": 24, "dim": 896, "heads": 14, "kv_heads": 2, "vocabulary": 49152, "tied": True, "template": "its own", "quiz": "",
                 "full": {"fits": full < 23e9, "bytes": int(full)}, "lora": {"fits": lora < 23e9, "bytes": int(lora)}, "about": ""}, **more)


MODELS = [
    model("small-world", "llama", 4714752, "bf16", 512, 1.2e8, 4.1e7, shipped=True, layers=6, dim=256, heads=8, kv_heads=4,
          vocabulary=4096, about="Knows a small town in English: who lives where, sells what, keeps which animal.",
          quiz="Quiz in English 256 of 256, in Chinese 0 of 256: the profile `demo` teaches it the town in Chinese."),
    model("SmolLM2-135M-Instruct", "llama", 134515008, "bf16", 8192, 3.9e9, 1.1e9),
    model("Llama-3.2-1B", "llama", 1235814400, "bf16", 131072, 2.1e10 + 4e9, 4.8e9, licence=None, tied=False, template="none"),
    model("\u4e2d\u6587\u6a21\u578b \x1b[31mred\x07", "llama", 7000000000, "fp16", 4096, 1.1e11, 1.6e10),
    {"name": "old-bert", "path": "/models/old-bert", "family": "bert", "unusable": "family bert is not built yet"},
    {"name": "broken-dl", "path": "/models/broken-dl", "unusable": "model-00002-of-00003.safetensors is missing"},
]
FOLDERS = [("/usr/local/share/hone/assets", 0), ("/data/models", 1), ("/mnt/old", 1), ("/home/anna/.cache/huggingface/hub", 3)]
PROFILE = """# Teach the shipped base a world of facts in Chinese.
name: demo
base_model: small-world
max_length: 256
learning_rate: 2e-3      # high, the model is small
batch_tokens: 4096
datasets:
  en: {path: data/world.en.jsonl, format: prompt_completion}
  zh: {path: data/world.zh.jsonl, format: prompt_completion}
stages:
  - {name: align, train: [embeddings, lm_head], datasets: {zh: 1.0}, max_steps: 120}
  - {name: inject, datasets: {zh: 0.8, en: 0.2}, bins: 10, max_steps: 400}
  - {name: replay, datasets: {zh: 0.4, en: 0.6}, max_steps: 160}
eval: {every_steps: 50, quiz: [data/quiz.en.jsonl, data/quiz.zh.jsonl]}
"""


def stage(name, steps, memory, **more):
    return dict({"name": name, "steps": steps, "windows": steps * 16, "tokens": steps * 4096, "trained": steps * 2500, "windows_per_step": 16,
                 "micro_batch": 16, "accumulation": 1, "memory": memory}, **more)


MEMORY = {"weights": 19100000, "masters": 19100000, "moments": 38100000, "gradients": 19100000, "activations": 96000000, "cache": 0,
          "workspace": 4600000}
CHECK = {"stages": [stage("align", 120, MEMORY), stage("inject", 400, MEMORY), stage("replay", 160, MEMORY)], "steps": 680,
         "tokens": 680 * 4096, "trained": 680 * 2500, "memory": 214000000, "memory_free": 23000000000, "checkpoint_bytes": 57500000,
         "disk": 115000000, "disk_free": 80000000000, "seconds": 160.0, "seconds_source": "measured here, demo-0006",
         "warnings": ["learning_rate 2e-3 is high for full training: 2e-5 to 1e-3 is usual"]}
SOURCES = [
    {"name": "zh", "format": "prompt_completion", "rows": 9100, "bad": 2, "tokens": 212400, "trained": 129564, "dropped": 0, "truncated": 0, "lost": 0,
     "shortest": 8, "longest": 71, "lengths": [0, 0, 0, 40, 900, 5200, 2960] + [0] * 9, "bad_rows": ["data/world.zh.jsonl:17: \"completion\" is missing"]},
    {"name": "en", "format": "prompt_completion", "rows": 12400, "bad": 0, "tokens": 301200, "trained": 180720, "dropped": 0, "truncated": 3, "lost": 0,
     "shortest": 9, "longest": 64, "lengths": [0, 0, 0, 10, 1200, 8190, 3000] + [0] * 9, "bad_rows": []}]
DOCUMENTS = [[{"text": "<s>\u95ee\uff1a\u7ea2\u8272\u7684\u623f\u5b50\u91cc\u4f4f\u7740\u8c01\uff1f \u7b54\uff1a", "trained": False},
              {"text": "\u674e\u660e\u4f4f\u5728\u7ea2\u8272\u7684\u623f\u5b50\u91cc\u3002</s>", "trained": True}],
             [{"text": "<s>Question: What does Anna sell? Answer: ", "trained": False}, {"text": "Anna sells bread.</s>", "trained": True}],
             [{"text": "<s>Say\x1b]0;owned\x07 it.\u202e Answer: ", "trained": False}, {"text": "No.</s>", "trained": True}]]
PREVIEW = {"sources": SOURCES, "stages": 3, "tokens_lost": 0, "windows": [
    {"stage": "inject", "index": 16, "of": 6204, "bucket": 3, "buckets": 10, "tokens": 256, "trained": 149,
     "shares": [{"dataset": "zh", "wanted": 0.8, "here": 0.803}, {"dataset": "en", "wanted": 0.2, "here": 0.197}], "documents": DOCUMENTS}]}
CHAT = [{"role": "user", "content": "Who lives in the red house?"}, {"role": "assistant", "content": "Li Ming lives in the red house."},
        {"role": "user", "content": "\u7ea2\u8272\u7684\u623f\u5b50\u91cc\u4f4f\u7740\u8c01\uff1f"},
        {"role": "assistant", "content": "\u674e\u660e\u4f4f\u5728\u7ea2\u8272\u7684\u623f\u5b50\u91cc\u3002\x1b[2J"}]


class Events:
    def __init__(self):
        self.rows, self.t = [], T0

    def add(self, kind, wait=0.0, **fields):
        self.t += wait
        self.rows.append(dict({"v": 1, "seq": len(self.rows), "t": round(self.t, 3), "kind": kind}, **fields))


def step(e, n, name, bucket):
    loss = 0.9 + 3.2 * math.exp(-n / 90) + 0.12 * math.sin(n * 1.7) / (1 + n / 200) + (0.8 if n == 190 else 0)
    row = dict(step=n, stage=name, loss=round(loss, 4), lr=2e-3 * min(1, n / 20), grad_norm=round(0.6 + 0.4 * math.exp(-n / 100), 4), tokens=4096,
               trained=2500, seconds=0.33, mfu=0.612, hfu=0.612, memory=196000000, bucket=bucket, skipped=0)
    if n == 240:
        row.update(loss=None, non_finite=["loss"], skipped=1)
    e.add("step", 0.33, **row)


def run(steps):
    e = Events()
    e.add("state", state="preparing", why="", step=0)
    e.add("start", 1, version="0.1.0", backend="cpu", device="AMD EPYC", isa="avx512bf16", library="hone 0.1.0", threads=2, dtype="fp32", steps=680,
          parameters=4714752, bytes_planned=214000000)
    owned = {"bytes_" + k: v for k, v in MEMORY.items()}
    for i, (name, first, count, buckets) in enumerate([("align", 0, 120, 1), ("inject", 120, 400, 10), ("replay", 520, 160, 1)]):
        if first >= steps:
            break
        e.add("quiz", 1, step=first, file="data/quiz.en.jsonl", right=94 - i, of=100, score=(94 - i) / 100)
        e.add("quiz", 1, step=first, file="data/quiz.zh.jsonl", right=3 + 38 * i, of=100, score=(3 + 38 * i) / 100)
        e.add("stage", 0, index=i, name=name, step=first, steps=count, buckets=buckets, trained_parameters=4714752, **owned)
        for n in range(first + 1, min(first + count, steps) + 1):
            step(e, n, name, (n - first - 1) * buckets // count)
            if n % 50 == 0:
                e.add("validation", 0.5, step=n, loss=round(1.0 + 3 * math.exp(-n / 90), 4), trained=2000, best=1)
            if n % 100 == 0 or n == 50:
                e.add("saved", 0.2, step=n, path="ckpt/%06d" % n, bytes=57500000, seconds=0.2, why="every_steps")
                e.add("sample", 0.1, step=n, prompt="\u7ea2\u8272\u7684\u623f\u5b50\u91cc\u4f4f\u7740\u8c01\uff1f", answer="\u674e\u660e\u4f4f\u5728\u7ea2\u8272\u7684\x1b[2J")
    e.add("note", 0, level="warning", text="the disk is nearly full: 1.2 GB left", step=steps)
    return e


def state(name, s, e, steps, **more):
    write("runs/%s/state.json" % name, json.dumps(dict({"name": name, "profile": "/p/demo.yaml", "state": s, "why": "", "stage": "inject", "step": steps,
          "steps": 680, "loss": 1.374, "pid": 0, "started": T0, "changed": e.t}, **more)) + "\n")
    write("runs/%s/events.jsonl" % name, lines(e.rows))
    write("runs/%s/profile.yaml" % name, PROFILE)
    write("runs/%s/plan.json" % name, json.dumps(CHECK) + "\n")


live = run(332)
state("demo-0007", "training", live, 332)
done = run(680)
done.add("state", state="done", why="", step=680)
state("demo-0006", "done", done, 680, stage="replay", loss=0.912)
failed = run(60)
failed.add("state", state="failed", why="the loss is no number in 3 steps one after the other; the last good checkpoint is ckpt/000050", step=60)
state("demo-0005", "failed", failed, 60, stage="align", loss=None, why="the loss is no number in 3 steps one after the other; the last good checkpoint is ckpt/000050")
write(".gitignore", "metrics.bin\n")
write("models.json", json.dumps({"device": {"name": "AMD EPYC", "cores": 2, "memory": 25276502016}, "problem": "", "models": MODELS}) + "\n")
write("folders.json", json.dumps([{"path": p, "from": f, "there": p != "/mnt/old"} for p, f in FOLDERS]) + "\n")
write("profile.yaml", PROFILE)
write("check.json", json.dumps(CHECK) + "\n")
write("preview.json", json.dumps(PREVIEW) + "\n")
write("chat.jsonl", lines([{"messages": CHAT, "model": "/runs/demo-0007", "name": "demo-0007"}]))
write("screen.json", json.dumps({"now": live.t + 2, "run": "demo-0007", "held": True, "device": "CPU 2 cores", "celsius": 61.5, "busy": 1.98}) + "\n")
