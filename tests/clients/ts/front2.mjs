// The TypeScript SDK 2.x over stdio. Usage: front2.mjs default|auto COMMAND...
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { capabilities, elicited, sampled, tell } from './front.mjs';

const [mode, command, ...args] = process.argv.slice(2);
const versionNegotiation = mode === 'auto' ? { versionNegotiation: { mode } } : {};
const client = new Client({ name: 'holdfast-tests', version: '1.0.0' }, { capabilities, ...versionNegotiation });
client.setRequestHandler('sampling/createMessage', sampled);
client.setRequestHandler('elicitation/create', elicited);
await client.connect(new StdioClientTransport({ command, args }));
const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
await tell(client, () => client.getNegotiatedProtocolVersion(), call);
