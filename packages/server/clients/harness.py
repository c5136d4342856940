"""lm_eval against a server that runs: `harness.py URL MODEL.gguf`."""

import os
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

from gguf_tokenizer import write_tokenizer

url, path = sys.argv[1:3]
here = os.path.dirname(os.path.abspath(__file__))
os.chdir(here)
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def run(client: str, endpoint: str, tasks: list[str], more: dict) -> dict:
    arguments = {
        "model": "any",
        "base_url": f"{url}/v1/{endpoint}",
        "num_concurrent": 4,
        "max_retries": 1,
        "max_length": 512,
        **more,
    }
    found = lm_eval.simple_evaluate(
        model=client,
        model_args=arguments,
        tasks=tasks,
        task_manager=TaskManager(include_path=os.path.join(here, "tasks"), include_defaults=False),
        batch_size=2,
        bootstrap_iters=0,
        apply_chat_template=client == "local-chat-completions",
    )
    for task, metrics in found["results"].items():
        print(client, task, {name: value for name, value in metrics.items() if name.endswith(",none")})
    return found["results"]


with tempfile.TemporaryDirectory() as folder:
    write_tokenizer(path, folder)
    tokenizer = {"tokenizer": folder, "tokenizer_backend": "huggingface", "tokenized_requests": True}
    scores = run("local-completions", "completions", ["choices", "perplexity", "answers"], tokenizer)
    chosen = scores["choices"]["acc,none"]
    assert 0.5 < chosen <= 1, f"a model chooses the right ends: {chosen}"
    assert scores["perplexity"]["word_perplexity,none"] > 1
run("local-chat-completions", "chat/completions", ["answers"], {})
