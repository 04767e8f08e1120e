// The TypeScript SDK 2.x. Usage: client2.mjs URL default|auto [API_KEY]
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { requestInit, tell } from './story.mjs';

const [url, mode, key] = process.argv.slice(2);
const options = mode === 'default' ? {} : { versionNegotiation: { mode } };
const client = new Client({ name: 'holdfast-tests', version: '1.0.0' }, options);
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: requestInit(key) }));
await tell(client, () => client.getNegotiatedProtocolVersion());
