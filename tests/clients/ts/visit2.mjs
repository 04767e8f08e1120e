// The TypeScript SDK 2.x at one server after the other. Usage: visit2.mjs http|sse|stdio default|auto TARGETS (as in visit1.py)
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { each } from './visit.mjs';

const [kind, mode, targets] = process.argv.slice(2);
const transport = (where) => ({
  http: () => new StreamableHTTPClientTransport(new URL(where[0])),
  sse: () => new SSEClientTransport(new URL(where[0])),
  stdio: () => new StdioClientTransport({ command: where[0], args: where.slice(1) }),
})[kind]();
const options = mode === 'auto' ? { versionNegotiation: { mode } } : {};

await each(targets, async (where) => {
  const client = new Client({ name: 'holdfast-tests', version: '1.0.0' }, options);
  await client.connect(transport(where));
  return [client, () => client.getNegotiatedProtocolVersion()];
});
