"""Drives one foreign client against a gateway, in the clients' own environment; prints what it saw as JSON.

    python drive.py litellm|langchain|openai BASE_URL TASK...

Nothing here knows the gateway: it is the code of an application that has only changed its base URL.
"""

import json
import sys
from typing import Any

QUESTION: Any = [{"role": "user", "content": "hello"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "adds",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def drive_litellm(base_url: str, task: str) -> dict[str, Any]:
    """Completion, stream, tools and embeddings through litellm."""
    import litellm

    reach: Any = {"api_base": base_url, "api_key": "pk-client", "num_retries": 0}
    whole = litellm.completion(model=f"openai/task/{task}", messages=QUESTION, user="ada", **reach)
    parts = list(
        litellm.completion(
            model=f"openai/task/{task}",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
            **reach,
        )
    )
    called = litellm.completion(model=f"openai/task/{task}", messages=QUESTION, tools=[TOOL], **reach)
    embedded = litellm.embedding(
        model="openai/task/embed", input=["a", "b"], encoding_format="float", **reach
    )
    call = called.choices[0].message.tool_calls[0]
    return {
        "text": whole.choices[0].message.content,
        "id": whole.id,
        "total_tokens": whole.usage.total_tokens,
        "streamed": "".join(part.choices[0].delta.content or "" for part in parts),
        "stream_id": parts[0].id,
        "tool": [call.function.name, json.loads(call.function.arguments), called.choices[0].finish_reason],
        "embeddings": [item["embedding"] for item in embedded.data],
    }


def drive_langchain(base_url: str, task: str) -> dict[str, Any]:
    """The same through langchain-openai's chat model and embeddings; of a stream it keeps the headers only."""
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    reach: Any = {"base_url": base_url, "api_key": "pk-client", "max_retries": 0}
    chat = ChatOpenAI(model=f"task/{task}", stream_usage=True, **reach)
    whole = chat.invoke("hello")
    heard = ChatOpenAI(model=f"task/{task}", stream_usage=True, include_response_headers=True, **reach)
    parts = list(heard.stream("hello"))
    tools = ChatOpenAI(model=f"task/{task}", **reach).bind_tools([TOOL])
    called = tools.invoke("hello")
    embed = OpenAIEmbeddings(model="task/embed", check_embedding_ctx_length=False, **reach)
    return {
        "text": whole.content,
        "id": whole.response_metadata["id"],
        "total_tokens": (whole.usage_metadata or {}).get("total_tokens"),
        "streamed": "".join(str(part.content) for part in parts),
        "stream_id": parts[0].response_metadata["headers"]["x-pointsman-decision"],
        "tool": [
            called.tool_calls[0]["name"],
            called.tool_calls[0]["args"],
            called.response_metadata["finish_reason"],
        ],
        "embeddings": embed.embed_documents(["a", "b"]),
    }


def drive_openai(base_url: str, task: str) -> dict[str, Any]:
    """The same through the official client of the major version before ours."""
    import openai

    client = openai.OpenAI(base_url=base_url, api_key="pk-client", max_retries=0)
    whole = client.chat.completions.create(model=f"task/{task}", messages=QUESTION, user="ada")
    parts = list(client.chat.completions.create(model=f"task/{task}", messages=QUESTION, stream=True))
    called = client.chat.completions.create(model=f"task/{task}", messages=QUESTION, tools=[TOOL]).choices[0]
    embedded = client.embeddings.create(model="task/embed", input=["a", "b"])
    calls: Any = called.message.tool_calls
    return {
        "text": whole.choices[0].message.content,
        "id": whole.id,
        "total_tokens": whole.usage.total_tokens if whole.usage else None,
        "streamed": "".join(part.choices[0].delta.content or "" for part in parts),
        "stream_id": parts[0].id,
        "tool": [calls[0].function.name, json.loads(calls[0].function.arguments), called.finish_reason],
        "embeddings": [item.embedding for item in embedded.data],
    }


DRIVES = {"litellm": drive_litellm, "langchain": drive_langchain, "openai": drive_openai}

if __name__ == "__main__":
    print(json.dumps({task: DRIVES[sys.argv[1]](sys.argv[2], task) for task in sys.argv[3:]}))
