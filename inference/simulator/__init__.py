"""A simulated worker: it speaks vLLM's HTTP, counts words and computes nothing.

It is for demos, development and capacity planning, and says *simulated* wherever it shows. One whitespace-separated
word is one token, in the prompt as in the answer, so every count is known beforehand.

    speed       how fast a profile reads prompts and writes answers
    chat        what is asked: parsing, limits, refusals, and how long the answer will be (pure)
    completion  the same of completions and embeddings (pure)
    answer      the bytes of the answer, whole or as server-sent events (pure)
    metrics     the counters behind /metrics, under vLLM's names
    worker      the ASGI application
    serving     the HTTP server around it
"""

LABEL = "simulated"
FINGERPRINT = "tokenworks-simulated"
