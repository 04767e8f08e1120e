"""A server with what `story.py` asks for, for any version of the SDK."""

import inspect
from typing import Any

from pydantic import BaseModel


class Answer(BaseModel):
    """What the user is asked for."""

    word: str


def tell(app: Any, context: type) -> None:
    """Puts the story on a server of the SDK 1.x or 2.x: their decorators have the same names. `context` is the SDK's class."""

    @app.tool()
    def whoami() -> str:
        return "one"

    @app.tool()
    def test_error_handling() -> str:
        raise ValueError("This tool always fails.")

    async def test_tool_with_progress(ctx: Any) -> str:
        knows_message = "message" in inspect.signature(ctx.report_progress).parameters
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, *([f"{done} %"] if knows_message else []))
        return "done"

    async def ask(ctx: Any) -> str:
        answer = await ctx.elicit("Which word?", Answer)
        return f"{answer.action}: {answer.data.word}"

    for tool in (test_tool_with_progress, ask):
        tool.__annotations__["ctx"] = context
        app.tool()(tool)

    @app.resource("test://static-text")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @app.prompt()
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."
