// The TypeScript SDK 1.x at one server after the other. Usage: visit1.mjs http|sse|ws|stdio - TARGETS (as in visit1.py)
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { each } from './visit.mjs';

const [kind, , targets] = process.argv.slice(2);
const transport = (where) => ({
  http: () => new StreamableHTTPClientTransport(new URL(where[0])),
  sse: () => new SSEClientTransport(new URL(where[0])),
  ws: () => new WebSocketClientTransport(new URL(where[0])),
  stdio: () => new StdioClientTransport({ command: where[0], args: where.slice(1) }),
})[kind]();

await each(targets, async (where) => {
  const carrier = transport(where);
  let version;
  carrier.setProtocolVersion = (agreed) => { version = agreed; };
  const client = new Client({ name: 'holdfast-tests', version: '1.0.0' });
  await client.connect(carrier);
  return [client, () => version];
});
