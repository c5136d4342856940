"""LiteLLM against a server that runs: `litellm_client.py URL`."""

import asyncio
import sys

import litellm

base = {"api_base": f"{sys.argv[1]}/v1", "api_key": "none", "num_retries": 0, "temperature": 0, "max_tokens": 8}
messages = [{"role": "user", "content": "Name one colour."}]


def text_of(chunks) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


whole = litellm.completion(model="openai/any", messages=messages, **base)
text = whole.choices[0].message.content
print("completion:", repr(text), whole.usage.total_tokens, "tokens")
assert text_of(litellm.completion(model="openai/any", messages=messages, stream=True, **base)) == text


async def together():
    requests = [litellm.acompletion(model="openai/any", messages=messages, **base) for _ in range(4)]
    return [reply.choices[0].message.content for reply in await asyncio.gather(*requests)]


assert asyncio.run(together()) == [text] * 4

raw = litellm.text_completion(
    model="text-completion-openai/any", prompt="One two three", echo=True, logprobs=1, **base
).choices[0]
print("echo:", repr(raw.text))
assert raw.text.startswith("One two three")

anthropic = litellm.completion(
    model="anthropic/any", messages=messages, **{**base, "api_base": sys.argv[1]}
)
print("by Anthropic's dialect:", repr(anthropic.choices[0].message.content))
assert anthropic.choices[0].message.content == text

try:
    litellm.completion(model="openai/any", messages=messages, **{**base, "temperature": 3})
    raise AssertionError("a wrong parameter was taken")
except litellm.BadRequestError as error:
    print("refused:", str(error).splitlines()[0])
