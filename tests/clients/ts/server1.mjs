// A server of the TypeScript SDK 1.x. Usage: server1.mjs http|sse|stdio. Says its port on standard output, unless it speaks there.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const sessions = new Map();

function story() {
  const server = new McpServer({ name: 'story', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Who answers.' }, () => ({ content: [{ type: 'text', text: 'one' }] }));
  return server;
}

async function streamable(request, response) {
  let transport = sessions.get(request.headers['mcp-session-id']);
  if (!transport) {
    const opened = (id) => { sessions.set(id, transport); };
    transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: opened });
    await story().connect(transport);
  }
  await transport.handleRequest(request, response);
}

async function sse(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET') {
    const transport = new SSEServerTransport('/messages', response);
    sessions.set(transport.sessionId, transport);
    transport.onclose = () => sessions.delete(transport.sessionId);
    await story().connect(transport);
    return;
  }
  const transport = sessions.get(url.searchParams.get('sessionId'));
  if (transport) await transport.handlePostMessage(request, response);
  else response.writeHead(404).end();
}

const [kind] = process.argv.slice(2);
if (kind === 'stdio') {
  await story().connect(new StdioServerTransport());
} else {
  const server = http.createServer(kind === 'sse' ? sse : streamable);
  server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
}
