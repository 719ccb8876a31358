"""start.py BUILD start|tokenizer: how long people wait: --version, first paint, `hone check` on cached data, a run of a million steps, and
the tokenizer's speed. Milliseconds, the least and the median of several; the bar of the issue behind them."""
import json, os, pty, select, statistics, struct, subprocess, sys, tempfile, time

build = os.path.abspath(sys.argv[1])
hone = build + "/hone"
work = tempfile.mkdtemp(prefix="hone-bench-")
os.environ.update(HONE_HOME=work + "/home", XDG_CONFIG_HOME=work + "/config", TERM="xterm-256color")


def times(what, bar, run, n=15):
    run()
    got = sorted(run() for _ in range(n))
    print("%-44s least %7.1f ms  median %7.1f ms  (bar %s)" % (what, 1e3 * got[0], 1e3 * statistics.median(got), bar), flush=True)


def command(*args):
    def run():
        t = time.perf_counter()
        subprocess.run([hone, *args], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - t
    return run


def first_paint():
    t = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(hone, [hone])
    seen = b""
    while b"Models" not in seen:
        if not select.select([fd], [], [], 5)[0]:
            raise SystemExit("no paint within 5 s")
        seen += os.read(fd, 65536)
    t = time.perf_counter() - t
    os.write(fd, b"q")
    time.sleep(0.05)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return t


def million():
    """A finished run of a million steps, as an engine would have written it."""
    run = work + "/home/runs/million"
    os.makedirs(run + "/ckpt")
    columns = b"hone metrics 1: step loss lr grad_norm seconds tokens trained mfu hfu memory t"
    with open(run + "/metrics.bin", "wb") as f:
        f.write(columns.ljust(87) + b"\n")
        for i in range(1, 1000001):
            f.write(struct.pack("<11d", i, 2 + 1 / i, 1e-3, 1.0, 0.5, 4096, 4000, 0.5, 0.5, 1e9, 1.79e9 + i))
    with open(run + "/events.jsonl", "w") as f:
        f.write('{"v":1,"seq":1,"t":1790000000.0,"kind":"start","version":"0.1.0","backend":"cpu","steps":1000000}\n')
        for i in range(1, 1000001):
            f.write('{"v":1,"seq":%d,"t":%d.0,"kind":"step","step":%d,"stage":"one","loss":%.6f,"lr":0.001,"grad_norm":1.0,"tokens":4096,'
                    '"trained":4000,"seconds":0.5,"mfu":0.5,"hfu":0.5,"memory":1000000000}\n' % (i + 1, 1790000000 + i, i, 2 + 1 / i))
        f.write('{"v":1,"seq":1000002,"t":1791000001.0,"kind":"state","state":"done","why":"all steps","step":1000000}\n')
    open(run + "/profile.yaml", "w").write("name: million\n")
    json.dump({"name": "million", "state": "done", "why": "all steps", "step": 1000000, "steps": 1000000, "loss": 2.0, "pid": 1,
               "started": 1790000000.0, "changed": 1791000001.0}, open(run + "/state.json", "w"))
    return run


def prose(language):
    """2.5 MB of prose, from what the material folder has; repeated where it has less."""
    with open("%s/prose-%s.txt" % (material, language), encoding="utf-8") as f:
        text = f.read()
    more = "%s/parable-%s.jsonl" % (material, language)
    if os.path.exists(more):
        with open(more, encoding="utf-8") as f:
            text += "\n".join(json.loads(line)["input"][1]["content"] for line in f)
    data = text.encode()
    data = (data * (2500000 // len(data) + 1))[:2500000].decode(errors="ignore").encode()
    path = "%s/%s" % (work, {"en": "English", "zh": "Chinese"}[language])
    open(path, "wb").write(data)
    return path


def tokenizer(folder, texts):
    """The library alone, then the command, whose start (reading the tokenizer) is taken off."""
    print("tokenizer, one core (bar 20 MB/s; good 60, moonshot 150)", flush=True)
    subprocess.run([build + "/tests/bench/bench_tokenizer", folder, *texts], check=True)
    empty = work + "/empty"
    open(empty, "wb").write(b"a")
    base = min(command("tokenize", folder, empty)() for _ in range(5))
    full = min(command("tokenize", folder, texts[0])() for _ in range(5))
    print("  hone tokenize, %-14s %.1f MB/s" % (os.path.basename(texts[0]), os.path.getsize(texts[0]) / 1e6 / max(full - base, 1e-9)), flush=True)


def starts():
    times("hone --version", "10 ms", command("--version"))
    times("first paint of the workbench", "50 ms", first_paint)
    if os.path.exists("assets/small-world/config.json"):
        times("hone check profiles/demo.yaml, cached", "100 ms", command("check", "profiles/demo.yaml"))
    times("the live screen of a run of a million steps", "1000 ms", command("--dump", "120x40", "--state", million()), 3)


def tokenizers():
    if not os.path.exists(material + "/prose-en.txt") or not os.path.exists(material + "/prose-zh.txt"):
        print("tokenizer: no prose in %s (sh tests/material.sh %s prose llama3 qwen evals)" % (material, material))
        return
    texts = [prose("en"), prose("zh")]
    for name in ("llama3", "qwen", "gpt2"):
        if os.path.exists("%s/%s/tokenizer.json" % (material, name)):
            tokenizer("%s/%s" % (material, name), texts)


material = os.environ.get("HONE_MATERIAL", "material")
{"start": starts, "tokenizer": tokenizers}[sys.argv[2]]()
subprocess.run(["rm", "-rf", work])
