// Calls a tool again and again until standard input is closed, and then prints what became of the calls. A call that fails is counted
// and the next one follows, by the same client: what else is done about a failure is up to the SDK.
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE = 100;

export async function live(client) {
  let stop = false;
  process.stdin.on('end', () => { stop = true; }).resume();
  let good = 0;
  const failed = [];
  while (!stop) {
    const began = Date.now() / 1000;
    try {
      const answer = await client.callTool({ name: 'whoami', arguments: {} });
      if (!['one', 'two'].includes(answer.content[0].text)) throw new Error(JSON.stringify(answer));
      good += 1;
    } catch (why) {
      failed.push({ began, ended: Date.now() / 1000, why: String(why) });
    }
    await sleep(PAUSE);
  }
  console.log(JSON.stringify({ good, failed }));
  await client.close();
  process.exit(0);
}
