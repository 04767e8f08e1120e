"""A server of the Python SDK 1.x on standard input and output."""

import sys

from mcp.server.fastmcp import Context, FastMCP

from server_story import tell

app = FastMCP("story")
tell(app, Context)
print("the story begins", file=sys.stderr)
app.run("stdio")
