"""peer_llama.py GGUF PROMPT DECODE THREADS: llama.cpp through its Python binding: tokens a second of a prompt and of tokens one
by one, by its own clocks, the best of three. JSON."""
import json, sys, time
import llama_cpp

path, prompt, decode, threads = sys.argv[1], *map(int, sys.argv[2:])
model = llama_cpp.Llama(path, n_ctx=prompt + decode, n_batch=prompt, n_ubatch=prompt, n_threads=threads, n_threads_batch=threads,
                        verbose=False)
best = {"prompt": 0.0, "decode": 0.0}
ids = [(i * 7919 + 13) % 40000 + 100 for i in range(prompt)]
for _ in range(4):
    model.reset()
    start = time.perf_counter()
    model.eval(ids)
    best["prompt"] = max(best["prompt"], prompt / (time.perf_counter() - start))
    model.reset()
    model.eval(ids[:1])
    start = time.perf_counter()
    for i in range(decode - 1):
        model.eval([ids[i]])
    best["decode"] = max(best["decode"], (decode - 1) / (time.perf_counter() - start))
best["version"] = llama_cpp.__version__
print(json.dumps(best))
