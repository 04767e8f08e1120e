"""A server of the Python SDK 1.x on standard input and output."""

from mcp.server.fastmcp import Context, FastMCP

from stdio_story import tell

tell(FastMCP("story"), Context)
