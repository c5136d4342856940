"""Log-probabilities of a text's tokens beside llama-server's: `compare_scores.py OURS LLAMA_SERVER [--most NATS]`."""

import argparse
import json
import math
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("ours")
parser.add_argument("llama_server")
parser.add_argument("--most", type=float, default=math.inf, help="largest mean difference that is accepted, in nats per token")
parser.add_argument("--likeliest", type=int, default=512, help="how many tokens llama-server is asked for")
arguments = parser.parse_args()

texts = [
    "Once upon a time there was a little girl named Lily. She liked to play with her big brown dog.",
    "Tom and his mom went to the park. They saw a red ball, and Tom was very happy.",
]


def post(url: str, body: dict) -> dict:
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


differences, missing = [], 0
for text in texts:
    ids = post(f"{arguments.llama_server}/tokenize", {"content": text, "add_special": True})["tokens"]
    assert ids == post(f"{arguments.ours}/tokenize", {"content": text, "add_special": True})["tokens"]
    body = {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 0}
    ours = post(f"{arguments.ours}/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
    assert len(ours) == len(ids) and ours[0] is None
    for i, (token, logprob) in enumerate(zip(ids, ours)):
        if i == 0:
            continue
        body = {"prompt": ids[:i], "n_predict": 1, "n_probs": arguments.likeliest, "cache_prompt": False}
        likeliest = post(f"{arguments.llama_server}/completion", body)["completion_probabilities"][0]["top_logprobs"]
        theirs = next((other["logprob"] for other in likeliest if other["id"] == token), None)
        if theirs is None:
            missing += 1
        else:
            differences.append(abs(theirs - logprob))

differences.sort()
mean = sum(differences) / len(differences)
print(
    f"{len(differences)} tokens: difference per token {mean:.2g}, at most {differences[-1]:.2g}, in the median "
    f"{differences[len(differences) // 2]:.2g}; {missing} tokens were not among the {arguments.likeliest} likeliest"
)
assert mean <= arguments.most, f"more than {arguments.most} per token"
