// What every TypeScript client does over a transport that is not Streamable HTTP: list and call tools, answer what the server asks;
// then it prints what it saw.
export async function tell(client, version, call) {
  const steps = [];
  const tools = await client.listTools();
  const name = await call('whoami', {});
  await call('test_tool_with_progress', {}, { onprogress: (step) => steps.push(step.progress) });
  const modern = version() >= '2026';
  const sampled = modern
    ? await call('test_input_required_result_sampling', {})
    : await call('test_sampling', { prompt: 'say something' });
  const elicited = modern
    ? await call('test_input_required_result_elicitation', {})
    : await call('test_elicitation', { message: 'who?' });
  const many = await Promise.all(Array.from({ length: 20 }, () => call('whoami', {})));
  console.log(JSON.stringify({
    version: version(),
    tools: tools.tools.map((tool) => tool.name),
    whoami: name.content[0].text,
    progress: steps,
    sampled: sampled.content[0].text,
    elicited: elicited.content[0].text,
    many: many.filter((answer) => answer.content[0].text === name.content[0].text).length,
  }));
  await client.close();
}

export const capabilities = { sampling: {}, elicitation: {} };

export const sampled = async () => ({
  role: 'assistant', content: { type: 'text', text: 'the sampled answer' }, model: 'none', stopReason: 'endTurn',
});

export const elicited = async () => ({ action: 'accept', content: { name: 'ann', username: 'ann', email: 'ann@example.com' } });
