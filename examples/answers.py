"""Answers that grow word by word, and go on whether anybody watches or not: each is a run, see `docs/how-to/runs.md`.

With `NITRO_BROKER_URL=sqlite:///answers.db python -m examples.serve examples.answers:app` they survive the server:
end it in the middle of an answer, start it again, and the answer goes on where it was.
"""

import asyncio
import random
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, FastAPI, Form, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints

from nitro import Client, EventSourceResponse, assets, emit_async, event, runs

HERE = Path(__file__).parent
SENTENCES = (
    "It begins with a question that is smaller than the one you asked.",
    "Most people skip this step, and come back to it in the afternoon.",
    "Water helps, and so does a pencil.",
    "There is a short way and a long way, and they meet behind the second hill.",
    "Write down what you know; what is left on the desk is the rest of the problem.",
    "A friend of mine tried it with a bicycle, two maps and a very patient dog.",
    "If it rains, do it anyway, but slower.",
    "Take the smallest part that could be wrong, and look at it for ten minutes.",
    "By then the kettle has boiled, which is a result as well.",
    "What looks like luck is often a list that somebody kept.",
    "So the honest answer is: a little, for a while, together.",
    "Ask again tomorrow, and compare.",
)

answer_asked = event("answer.asked")
app = FastAPI(title="Nitro: answers")
app.mount("/nitro", assets)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

UserId = Annotated[str, Cookie(alias="answers_user", min_length=20, max_length=40)]  # an application has a login


class Question(BaseModel):
    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


def words_for(question: str) -> list[str]:
    """Stands for a model, which says the same to the same question."""
    chosen = random.Random(question).sample(SENTENCES, 12)
    return re.findall(r"\S+\s*", "\n\n".join(" ".join(chosen[n : n + 4]) for n in (0, 4, 8)))


async def answer(question: str, said: int = 0) -> AsyncIterator[str]:
    for word in words_for(question)[said:]:
        await asyncio.sleep(random.uniform(0.2, 0.5) if word.endswith("\n") else random.uniform(0.02, 0.15))
        yield word


@runs.restartable
def go_on(run: runs.Run, words: list[str]) -> AsyncIterator[str]:
    return answer(run.data["question"], len(words))


@app.get("/", include_in_schema=False)
def page(answers_user: Annotated[str | None, Cookie()] = None) -> FileResponse:
    response = FileResponse(HERE / "answers.html")
    if answers_user is None:
        response.set_cookie("answers_user", secrets.token_urlsafe(16), httponly=True, samesite="lax")
    return response


@app.post("/answers", status_code=202)
async def ask(form: Annotated[Question, Form()], user: UserId) -> dict[str, str]:
    data = form.model_dump()
    run = await runs.start(answer(form.question), user_id=user, restart=go_on, data=data, keep_seconds=86_400)
    await emit_async(answer_asked, user, result={"id": run.id, "state": "running", **data})
    return {"id": run.id}


@app.get("/answers")
async def answers(user: UserId) -> list[dict[str, str]]:
    return [{"id": info.id, "state": info.state, **info.data} for info in await runs.list(user_id=user)]


@app.get("/answers/asked")
async def asked(user: UserId) -> EventSourceResponse:
    return EventSourceResponse(Client(topics={"answer.asked": [user]}, user_id=user))


@app.get("/answers/{id}")
async def follow(id: str, user: UserId) -> Response:
    return await runs.stream(id, user_id=user)


@app.delete("/answers/{id}")
async def stop(id: str, user: UserId) -> Response:
    return await runs.cancel(id, user_id=user)
