#!/usr/bin/env python3
"""Records tests/golden/template.json: what transformers' apply_chat_template writes.

    python3 -m venv V && V/bin/pip install transformers==5.24.0 jinja2 xxhash tokenizers gguf
    HONE_MATERIAL=DIR V/bin/python tests/golden/template.py    # records; DIR has the GGUF files of make test-real
    V/bin/python tests/golden/template.py show NAME CHAT ASK   # prints one text, for a look at a difference

Templates: those of assets/templates, and public chat formats written here in our own words with the
constructs that the models' own templates use. For each (template, chat, with and without the generation
prompt) the file keeps the XXH3-64 of the text, or "refused" where the template raises an exception. Of the
templates in the GGUF files of DIR only the hashes are kept.
"""
import json, os, sys
import jinja2, xxhash
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = os.path.dirname(os.path.abspath(__file__))
ASSETS = os.path.join(HERE, "..", "..", "assets", "templates")
SHIPPED = ["plain", "qa", "alpaca", "llama2", "llama3", "chatml", "vicuna", "zephyr"]

FORMATS = {
    "mistral": """{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate!') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "phi3": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}""",
    "zephyr-lines": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    "qwen-tools": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "thinking": """{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or (not loop.last and thought)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "llama31": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first -#}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<｜Assistant｜><think>\\n'}}{% endif %}""",
    "generation": """{% for message in messages %}{% if message.role == 'assistant' %}<|im_start|>assistant
{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}

{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""",
    "macros": """{%- macro turn(role, content, end='<|end|>') -%}
<|{{ role | upper }}|>{{ content | trim }}{{ end }}
{%- endmacro -%}
{%- set greeting %}
  Hello, {{ 'wor' ~ 'ld' }} {{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ "a" * 3 if false else 'b' }}!
{% endset -%}
{{ greeting }}
{%- for message in messages if message.role != 'tool' %}
    {%- if loop.index > 6 %}{% break %}{% endif %}
    {%- if not message.content %}{% continue %}{% endif %}
{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.previtem.role if loop.previtem is defined else '-' }} {{ loop.nextitem.role if not loop.last }}
{{ turn(message.role, message.content) }}{{ turn(role='x', content=message['content'][1:4], end='') }}
{%- else %}
nothing
{%- endfor %}
""",
    "features": """{# a comment #}
{%+ if messages | length > 1 and messages[-1].role in ['user', 'assistant'] +%}
  kept {{- '  ' -}} blanks
{% endif %}
{% set words = messages[0].content.split() %}
{{ words | join(' | ') }} {{ words | length }} {{ words[:2] | join }} {{ words | first | default('none') }} {{ words | last | d('none', true) }}
{{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='content') | join('/') }}
{{ {'a': 1, 'b': [true, none, 'x"y\\n']} | tojson }} {{ [1, 2] | tojson(indent=2) }} {{ messages[0] | tojson }}
{{ messages[0].content | replace('e', 'E') }} {{ messages[0].content.replace('o', '0', 1) }} {{ messages[0]['content'][::-1] }}
{{ messages[0].content[0] }}{{ messages[0].content[-1] }}{{ messages[0].content[2:-2] }} {{ 'x' if messages[0].missing is defined else 'y' }}
{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{% for k in messages[0] %}{{ k }} {% endfor %}{% for c in 'añ字' %}[{{ c }}]{% endfor %}
{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }}{{ loop.depth }} {% endfor %}{% endfor %}{{ 1 < 2 <= 2 != 3 }} {{ none }} {{ not true or 'z' }}
{{ 'abc'.upper() }} {{ 'ABC' | lower }} {{ 'hello big world' | title }} {{ 'hELLO' | capitalize }} {{ '  x ' | trim }}| {{ 'xxaxx'.strip('x') }} {{ '5' | int + 1 }}
{{ messages[0].get('role') }} {{ messages[0].get('nothing', 'else') }} {{ 'role' in messages[0] }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 4 is not divisibleby(3) }} {{ messages is iterable }} {{ messages is mapping }} {{ undefined_thing }}|
{% raw %}{{ not a tag }}{% endraw %} {{ "quote \\" and \\u00e9 \\x41" 'joined' }} {{ (1, 2)[1] }} {{ dict(a=1).a }} {{ 'a\\nb\\n\\nc' | indent(2) }} {{ 'x' in 'xyz' and 'q' not in 'xyz' }}
    {%- if true -%}   tight   {%- endif -%}   
    end {{ add_generation_prompt }}
""",
}

U = "user"; A = "assistant"; S = "system"
CHATS = [
    [(U, "Hello")],
    [(U, "Hello"), (A, "Hi there!")],
    [(S, "Be brief."), (U, "What is 2+2?"), (A, "4")],
    [(U, "One"), (A, "Two"), (U, "Three"), (A, "Four"), (U, "Five")],
    [(S, "You are a pirate."), (U, "Who are you?"), (A, "Arr."), (U, "And now?"), (A, "Still arr.")],
    [(U, "  leading and trailing  "), (A, "\n\n  padded answer \n")],
    [(U, "tabs\tand\nnewlines\n\nin the middle"), (A, "line one\nline two\r\nline three")],
    [(U, "红色的房子里住着谁？"), (A, "李明住在红色的房子里。")],
    [(U, "\u3000全角空格\u3000"), (A, "\u00a0nbsp\u2003em\u3000")],
    [(S, "日本語で答えてください。"), (U, "絵文字は？"), (A, "👩‍👩‍👧‍👦 🇯🇵 é e\u0301")],
    [(U, "a < b && c > d; <|im_end|> </s> {{ not a template }} {% if %}"), (A, "<b>bold</b> {# hm #}")],
    [(U, "quote \" and ' and \\ backslash"), (A, "\\n is not a newline \\u00e9")],
    [(S, ""), (U, "empty system"), (A, "yes")],
    [(U, ""), (A, "answer to nothing")],
    [(U, "question"), (A, "")],
    [(U, "think"), (A, "<think>\nLet me see.\n</think>\n\nThe answer is 7.")],
    [(U, "q1"), (A, "<think>old</think>a1"), (U, "q2"), (A, "<think>\nnew\n</think>\n\na2")],
    [(A, "I begin"), (U, "you began")],
    [(U, "a"), (U, "b"), (A, "c")],
    [(S, "s1"), (S, "s2"), (U, "u"), (A, "a")],
    [(U, "use the tool"), ("tool", "{\"result\": 42}"), (A, "It is 42.")],
    [(U, "x" * 300), (A, "y z " * 100)],
    [(U, "e" + "\u0301" * 5 + "o"), (A, "\U0001F600\ufe0f\u200d")],
    [(U, "What is Python?\n"), (A, " A language. "), (U, "\tReally?"), (A, "Yes.\n"), (U, "ok"), (A, "bye"), (U, "wait"), (A, "no")],
]
BOS, EOS = "<s>", "</s>"


def sources():
    out = {}
    for name in SHIPPED:
        with open(os.path.join(ASSETS, name + ".jinja"), encoding="utf-8") as f:
            out[name] = f.read()
    out.update(FORMATS)
    return out


def renderer():
    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=BOS, eos_token=EOS)

    def render(source, chat, ask):
        messages = [{"role": r, "content": c} for r, c in chat]
        # hone leaves strftime_now undefined, so that a text does not depend on the day
        chat_template_utils._compile_jinja_template(source).environment.globals.pop("strftime_now", None)
        return tok.apply_chat_template(messages, chat_template=source, tokenize=False, add_generation_prompt=ask)
    return render


def outcome(render, source, chat, ask):
    try:
        return "%016x" % xxhash.xxh3_64_intdigest(render(source, chat, ask).encode("utf-8"))
    except jinja2.exceptions.TemplateError:
        return "refused"


def material():
    """The chat templates that real models bring, by the name of their GGUF file."""
    from gguf import GGUFReader
    for name in ["SmolLM2-135M-Instruct.Q4_1.gguf", "ggml-vocab-phi-3.gguf", "ggml-vocab-qwen2.gguf"]:
        field = GGUFReader(os.path.join(os.environ["HONE_MATERIAL"], name)).fields["tokenizer.chat_template"]
        yield name, bytes(field.parts[field.data[0]]).decode("utf-8")


def main():
    render = renderer()
    all_sources = sources()
    if len(sys.argv) == 5:
        print(render(all_sources[sys.argv[2]], CHATS[int(sys.argv[3])], sys.argv[4] == "1"), end="")
        return
    def texts(source):
        return [[outcome(render, source, chat, ask) for ask in (False, True)] for chat in CHATS]

    out = {"bos": BOS, "eos": EOS,
           "chats": [[list(m) for m in chat] for chat in CHATS],
           "formats": FORMATS,
           "texts": {name: texts(source) for name, source in all_sources.items()},
           "material": {name: texts(source) for name, source in material()}}
    with open(os.path.join(HERE, "template.json"), "w", encoding="utf-8") as f:
        json.dump(out, f, ensure_ascii=False, indent=1)
        f.write("\n")


main()
