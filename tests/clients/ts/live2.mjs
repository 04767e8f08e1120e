// The TypeScript SDK 2.x for as long as the test lasts. Usage: live2.mjs URL default|auto
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { live } from './live.mjs';

const [url, mode] = process.argv.slice(2);
const options = mode === 'default' ? {} : { versionNegotiation: { mode } };
const client = new Client({ name: 'holdfast-tests', version: '1.0.0' }, options);
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
await live(client);
