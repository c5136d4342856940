"""Log-probabilities beside llama-server's, token by token: `compare_scores.py OURS LLAMA_SERVER [--most NATS]`."""

import argparse
import json
import math
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("ours")
parser.add_argument("llama_server")
parser.add_argument("--most", type=float, default=math.inf, help="largest difference that is accepted for a token, in nats")
parser.add_argument("--every", type=int, default=2, help="of the beginnings of a text, every so many")
arguments = parser.parse_args()

texts = [
    "Once upon a time there was a little girl named Lily. She liked to play with her big brown dog.",
    "Tom and his mom went to the park. They saw a red ball, and Tom was very happy.",
    # Longer than the blocks of rows in which attention is computed.
    "The old man sat by the river and watched the boats go by. A boy came and asked him where they went. " * 6,
]


def post(url: str, body: dict) -> dict:
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def likeliest(server: str, ids: list[int]) -> dict[int, float]:
    """The likeliest tokens after a prompt that is computed whole."""
    body = {"prompt": ids, "n_predict": 1, "n_probs": 20, "cache_prompt": False}
    return {token["id"]: token["logprob"] for token in post(f"{server}/completion", body)["completion_probabilities"][0]["top_logprobs"]}


def summary(differences: list[float]) -> str:
    differences.sort()
    mean, median = sum(differences) / len(differences), differences[len(differences) // 2]
    return f"{len(differences)} differences, {mean:.2g} on average, {median:.2g} in the median, at most {differences[-1]:.2g}"


alike, scored = [], []
for text in texts:
    ids = post(f"{arguments.llama_server}/tokenize", {"content": text, "add_special": True})["tokens"]
    assert ids == post(f"{arguments.ours}/tokenize", {"content": text, "add_special": True})["tokens"]
    body = {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 0}
    scores = post(f"{arguments.ours}/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
    assert len(scores) == len(ids) and scores[0] is None
    for i in range(1, len(ids), arguments.every):
        ours, theirs = (likeliest(server, ids[:i]) for server in (arguments.ours, arguments.llama_server))
        common = ours.keys() & theirs.keys()
        assert len(common) >= 10, f"after {i} tokens other tokens are likeliest"
        alike += [abs(ours[token] - theirs[token]) for token in common]
        if ids[i] in theirs:
            scored.append(abs(scores[i] - theirs[ids[i]]))

print(f"the same prompts: {summary(alike)}")
print(f"a text that is scored in one piece, its beginnings as prompts: {summary(scored)}")
assert alike[-1] <= arguments.most, f"more than {arguments.most}"
