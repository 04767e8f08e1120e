// The TypeScript SDK 1.x. Usage: front1.mjs sse|ws|stdio URL|COMMAND...
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { capabilities, elicited, sampled, tell } from './front.mjs';

const [kind, ...where] = process.argv.slice(2);
const transport = {
  sse: () => new SSEClientTransport(new URL(where[0])),
  ws: () => new WebSocketClientTransport(new URL(where[0])),
  stdio: () => new StdioClientTransport({ command: where[0], args: where.slice(1) }),
}[kind]();
let version;
transport.setProtocolVersion = (agreed) => { version = agreed; };
const client = new Client({ name: 'holdfast-tests', version: '1.0.0' }, { capabilities });
client.setRequestHandler(CreateMessageRequestSchema, sampled);
client.setRequestHandler(ElicitRequestSchema, elicited);
await client.connect(transport);
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
await tell(client, () => version, call);
