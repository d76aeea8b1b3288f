/** A service that the network parts from the database, and one whose database is slow: nothing wrong is answered, and it is well again by itself. */
import { Client } from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Link, openLink } from "../../../conformance-tests/link.ts";
import { type Server, startServer } from "../../../conformance-tests/postgres.ts";
import { post, type TestService } from "../../../conformance-tests/service.ts";
import { admin, createFleet, decide, type Fleet, question } from "./fleet.test-parts.ts";

let server: Server;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

const settings = "stale_ms_max: 3000\nanswer_ms_max: 1500\n";

/** A service whose way to the database is a link, and one beside it that has the straight one. */
const withLink = async (
  use: (link: Link, far: TestService, near: TestService, fleet: Fleet) => Promise<void>,
): Promise<void> => {
  const fleet = await createFleet(server);
  const to = new URL(fleet.url);
  const link = await openLink(Number(to.port));
  try {
    to.port = String(link.port);
    const near = await fleet.add();
    const far = await fleet.add({ settings: { store: to.href }, yaml: settings });
    await use(link, far, near, fleet);
  } finally {
    link.unblock();
    await fleet.end();
    await link.close();
  }
};

type Asking = { permits: string[]; refusals: number[]; stop: () => Promise<void> };

/** Asks all along, in a few loops. */
const ask = (service: TestService): Asking => {
  const permits: string[] = [];
  const refusals: number[] = [];
  let asking = true;
  const loops = Array.from({ length: 4 }, async () => {
    while (asking) {
      const answer = await post(`${service.url}/access/v1/evaluation`, question(), admin(service));
      if (answer.body.decision === true) permits.push(answer.headers.get("remit-decision")!);
      else refusals.push(answer.status);
    }
  });
  const stop = async (): Promise<void> => {
    asking = false;
    await Promise.all(loops);
  };
  return { permits, refusals, stop };
};

const recorded = async (url: string): Promise<Set<string>> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>("select id from entry where kind = 'decision'");
    return new Set(rows.map(({ id }) => id));
  } finally {
    await client.end();
  }
};

const soon = { timeout: 20_000, interval: 50 };

const checksOf = async (service: TestService): Promise<Record<string, { status: string }>> => {
  const answer = await fetch(`${service.url}/readyz`);
  return ((await answer.json()) as { checks: Record<string, { status: string }> }).checks;
};

test.each<[string, (link: Link) => void]>([
  ["until it is there again", (link) => link.unblock()],
  ["and what was under way is lost for good", (link) => link.lose()],
])(
  "parted from the database %s, a service answers 503 and says why, the others go on, and no answer is lost",
  { timeout: 90_000 },
  (_name, end) =>
    withLink(async (link, far, near, { url }) => {
      const [there, here] = [ask(far), ask(near)];
      await vi.waitFor(
        () => expect(Math.min(there.permits.length, here.permits.length)).toBeGreaterThan(5),
        soon,
      );
      link.block();
      await vi.waitFor(() => expect(there.refusals.length).toBeGreaterThan(4), soon);
      await vi.waitFor(async () => expect((await checksOf(far))["shared"]!.status).toBe("failed"), soon);
      expect((await checksOf(far))["ledger"]!.status).toBe("failed");
      // Whatever it was in the middle of holds the others up for a moment only.
      const before = here.permits.length;
      await vi.waitFor(() => expect(here.permits.length).toBeGreaterThan(before + 5), soon);
      const during = there.permits.length;
      end(link);
      await vi.waitFor(() => expect(there.permits.length).toBeGreaterThan(during + 5), soon);
      await vi.waitFor(async () => {
        const { ledger, shared } = await checksOf(far);
        expect([ledger!.status, shared!.status]).toEqual(["ok", "ok"]);
      }, soon);
      await Promise.all([there.stop(), here.stop()]);
      expect(new Set(there.refusals)).toEqual(new Set([503]));
      const known = await recorded(url);
      expect([...there.permits, ...here.permits].filter((id) => !known.has(id))).toEqual([]);
    }),
);

test(
  "on a slow database nothing wrong is answered: a permit that is recorded, or 503 within the limit",
  { timeout: 60_000 },
  () =>
    withLink(async (link, far, _near, { url }) => {
      expect(await decide(far)).toBe(true);
      const asking = ask(far);
      await vi.waitFor(() => expect(asking.permits.length).toBeGreaterThan(5), soon);
      link.slow(300);
      await vi.waitFor(() => expect(asking.refusals.length).toBeGreaterThan(4), soon);
      link.slow(0);
      const before = asking.permits.length;
      await vi.waitFor(() => expect(asking.permits.length).toBeGreaterThan(before + 5), soon);
      await asking.stop();
      expect(new Set(asking.refusals)).toEqual(new Set([503]));
      const known = await recorded(url);
      expect(asking.permits.filter((id) => !known.has(id))).toEqual([]);
    }),
);
