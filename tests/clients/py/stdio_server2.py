"""A server of the Python SDK 2.x on standard input and output."""

from mcp.server.mcpserver import Context, MCPServer

from stdio_story import tell

tell(MCPServer("story"), Context)
