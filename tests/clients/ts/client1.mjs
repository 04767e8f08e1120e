// The TypeScript SDK 1.x. Usage: client1.mjs URL legacy [API_KEY]
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { requestInit, tell } from './story.mjs';

const [url, , key] = process.argv.slice(2);
const client = new Client({ name: 'holdfast-tests', version: '1.0.0' });
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: requestInit(key) });
await client.connect(transport);
await tell(client, () => transport.protocolVersion);
