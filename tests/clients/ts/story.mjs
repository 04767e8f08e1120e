// Of the names of tools and prompts, at the endpoint of all servers.
const PREFIX = process.env.PREFIX ?? '';

// What every TypeScript client does: list and call tools, read, prompt; then it prints what it saw.
export async function tell(client, version) {
  const steps = [];
  const tools = await client.listTools();
  const name = await client.callTool({ name: `${PREFIX}whoami`, arguments: {} });
  const failure = await client.callTool({ name: `${PREFIX}test_error_handling`, arguments: {} });
  await client.callTool(
    { name: `${PREFIX}test_tool_with_progress`, arguments: {} },
    ...callOptions(client, (step) => steps.push(step.progress)),
  );
  const page = await client.readResource({ uri: 'test://static-text' });
  const prompt = await client.getPrompt({ name: `${PREFIX}test_simple_prompt` });
  console.log(JSON.stringify({
    version: version(),
    tools: tools.tools.map((tool) => tool.name),
    whoami: name.content[0].text,
    failure: failure.isError === true,
    progress: steps,
    resource: page.contents[0].text,
    prompt: prompt.messages[0].content.text,
  }));
  await client.close();
}

// The first major version takes a result schema before the options.
function callOptions(client, onprogress) {
  return client.getNegotiatedProtocolVersion ? [{ onprogress }] : [undefined, { onprogress }];
}

// Headers of every request.
export function requestInit(key) {
  return key ? { headers: { authorization: `Bearer ${key}` } } : {};
}
