/** How long many entities take to load through the API, and what a decision costs with 100 and with 100,000 of them. */
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fixture, post, startTestService, tempDir, type TestService } from "../conformance-tests/service.ts";

const many = 100_000;
const questions = 3000;

const lines = (from: number, to: number): string => {
  const out: string[] = [];
  for (let n = from; n < to; n++)
    out.push(
      n % 2 === 0
        ? `{"uid":{"type":"user","id":"u-${n}"},"attrs":{"role":"staff"},"parents":[{"type":"group","id":"members"}]}`
        : `{"uid":{"type":"record","id":"r-${n}"},"attrs":{"status":"active"}}`,
    );
  return out.join("\n");
};

const load = async ({ url, dir }: TestService, text: string): Promise<string> => {
  const key = readFileSync(join(dir, "data/admin.key"), "utf8").trim();
  const response = await fetch(`${url}/v1/entities/import`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/x-ndjson" },
    body: text,
  });
  return (await response.text()).trim().split("\n").at(-1)!;
};

const percentile = (sorted: readonly number[], part: number): string =>
  sorted[Math.floor(sorted.length * part)]!.toFixed(2);

const ask = async ({ url }: TestService, count: number): Promise<string> => {
  const times: number[] = [];
  const cpu = process.cpuUsage();
  for (let n = 0; n < questions; n++) {
    const at = (n * 7919) % count;
    const question = {
      subject: { type: "user", id: `u-${at - (at % 2)}` },
      action: { name: "write" },
      resource: { type: "record", id: `r-${at - (at % 2) + 1}` },
    };
    const start = performance.now();
    const { body } = await post(`${url}/access/v1/evaluation`, question);
    times.push(performance.now() - start);
    if (body.decision !== true) throw new Error(`a question about ${at} was denied`);
  }
  times.sort((a, b) => a - b);
  const { user, system } = process.cpuUsage(cpu);
  // Client and service together; unlike the time, it doesn't grow with what else the machine does.
  const each = Math.round((user + system) / questions);
  return `p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms, processor ${each} µs`;
};

const dir = tempDir();
cpSync(fixture, dir, { recursive: true });
let service = await startTestService({ dir });
await load(service, lines(0, 100));
await ask(service, 100);
for (let round = 0; round < 2; round++) console.log(`decision with 100 entities: ${await ask(service, 100)}`);
const start = performance.now();
const cpu = process.cpuUsage();
console.log(await load(service, lines(0, many)));
const { user, system } = process.cpuUsage(cpu);
console.log(
  `${many} entities loaded in ${((performance.now() - start) / 1000).toFixed(1)} s, processor ${((user + system) / 1e6).toFixed(1)} s`,
);
for (let round = 0; round < 2; round++) {
  console.log(`decision with ${many} entities, about 100: ${await ask(service, 100)}`);
  console.log(`decision with ${many} entities, about all: ${await ask(service, many)}`);
}
await service.close();
const again = performance.now();
service = await startTestService({ dir });
console.log(`started with ${many} entities in ${((performance.now() - again) / 1000).toFixed(1)} s`);
await service.close();
rmSync(dir, { recursive: true, force: true });
