// The TypeScript SDK 1.x for as long as the test lasts. Usage: live1.mjs URL
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { live } from './live.mjs';

const client = new Client({ name: 'holdfast-tests', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
await live(client);
