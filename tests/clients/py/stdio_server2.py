"""A server of the Python SDK 2.x on standard input and output."""

import sys

from mcp.server.mcpserver import Context, MCPServer

from server_story import tell

app = MCPServer("story")
tell(app, Context)
print("the story begins", file=sys.stderr)
app.run("stdio")
