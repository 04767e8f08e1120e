// What a TypeScript client of either generation does at each of `targets`; it says on a line what it saw.
const LIMIT_MS = 30_000;

export async function each(targets, connect) {
  for (const { name, where } of JSON.parse(targets)) {
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('not in time')), LIMIT_MS); });
    const seen = await Promise.race([visit(connect, where), late]).catch((why) => ({ error: String(why) }));
    clearTimeout(timer);
    console.log(JSON.stringify({ name, ...seen }));
  }
  // A connection that does not end by itself is not waited for.
  process.exit(0);
}

async function visit(connect, where) {
  const [client, version] = await connect(where);
  const tools = await client.listTools();
  const name = await client.callTool({ name: 'whoami', arguments: {} });
  const seen = { version: version(), tools: tools.tools.length, whoami: name.content[0].text };
  await client.close();
  return seen;
}
