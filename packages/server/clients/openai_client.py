"""The official Python client of OpenAI against a server that runs: `openai_client.py URL`."""

import sys

from openai import BadRequestError, OpenAI

client = OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
model = client.models.list().data[0].id
prompt = "Once upon a time there was"

completion = client.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0)
print("completion:", repr(completion.choices[0].text))
assert completion.usage.completion_tokens <= 8

pieces = client.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0, stream=True)
assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == completion.choices[0].text

scored = client.completions.create(
    model=model, prompt=prompt, max_tokens=0, temperature=0, echo=True, logprobs=2
).choices[0]
print("echo:", list(zip(scored.logprobs.tokens, scored.logprobs.token_logprobs)))
assert scored.text == prompt and scored.logprobs.token_logprobs[0] is None
assert all(value <= 0 for value in scored.logprobs.token_logprobs[1:])

ranked = client.completions.create(
    model=model, prompt=prompt, max_tokens=1, temperature=0, extra_body={"prompt_logprobs": 1}
).choices[0].prompt_logprobs
assert ranked[0] is None and len(ranked) == len(scored.logprobs.tokens)

try:
    client.completions.create(model=model, prompt=prompt, max_tokens=-2)
    raise AssertionError("a wrong parameter was taken")
except BadRequestError as error:
    print("refused:", error.param)

messages = [{"role": "user", "content": "Name one colour."}]
try:
    chat = client.chat.completions.create(model=model, messages=messages, max_tokens=8, temperature=0, logprobs=True)
except BadRequestError as error:
    assert error.code == "chat_template", error
    print("no chat template: conversations are left out")
    sys.exit()
text = chat.choices[0].message.content
print("chat:", repr(text))
assert len(chat.choices[0].logprobs.content) > 0
with client.chat.completions.stream(model=model, messages=messages, max_tokens=8, temperature=0) as stream:
    stream.until_done()
    assert stream.get_final_completion().choices[0].message.content == text
response = client.responses.create(model=model, input="Name one colour.", max_output_tokens=8, temperature=0)
print("response:", repr(response.output_text))
assert response.output_text == text
vector = client.embeddings.create(model=model, input=["Name one colour."]).data[0].embedding
print("embedding:", len(vector), "numbers")
