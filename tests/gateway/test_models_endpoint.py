"""GET /v1/models: what the caller's plan prices."""

import openai
import pytest

from tests.gateway.running import ALICE_KEY, MALLORY_KEY, MODEL, Running, exchange, http_request

DESCRIBED = {
    "id": MODEL,
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "tokenworks",
    "max_model_len": 131_072,
}


async def test_the_sdk_lists_and_retrieves_what_the_plan_prices(gateway: Running) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=ALICE_KEY, max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == [MODEL]
        assert (await client.models.retrieve(MODEL)).to_dict() == DESCRIBED
        with pytest.raises(openai.NotFoundError, match="not-priced"):
            await client.models.retrieve("not-priced")


async def test_a_tenant_sees_nothing_of_another_tenants_plan(gateway: Running) -> None:
    listed = await exchange(gateway.port, http_request(method="GET", path="/v1/models", key=MALLORY_KEY))
    assert listed.json == {"object": "list", "data": []}
    path = f"/v1/models/{MODEL}"
    answered = await exchange(gateway.port, http_request(method="GET", path=path, key=MALLORY_KEY))
    assert (answered.status, answered.error["code"]) == (404, "model_not_found")


async def test_models_are_not_shown_without_a_key(gateway: Running) -> None:
    answered = await exchange(gateway.port, http_request(method="GET", path="/v1/models", key=None))
    assert answered.status == 401


async def test_every_answer_has_a_request_id(gateway: Running) -> None:
    answered = await exchange(gateway.port, http_request(method="GET", path="/v1/models"))
    assert len(answered.headers["x-request-id"]) == 36
