/** API keys, the administrator's key, the list of callers, and what a caller may ask about. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Problem } from "../kit/problem.ts";
import { openLedger } from "../store/sqlite/ledger.ts";
import { adminKey, adminKeyFile, readAdminKey } from "./admin-key.ts";
import { type Authenticate, createAuthenticator } from "./authenticate.ts";
import { createCallerList } from "./caller-list.ts";
import { type Caller, mayAsk, scopes } from "./caller.ts";
import { hashKey, newKey, sameHash } from "./key.ts";
import { uuidv7 } from "../kit/id.ts";
import type { CallerCommand, CallerStore } from "./store.ts";

const callerOf = (name: string, rest: Partial<Caller> = {}): Caller => ({
  name,
  scopes: ["evaluate"],
  detail: "plain",
  subjects: [],
  agents: [],
  actorRequired: false,
  obligations: [],
  ...rest,
});

const folder = (): string => mkdtempSync(join(tmpdir(), "remit-identity-"));

const problemOf = (run: () => unknown): Problem => {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

const asks = (rest: Partial<Caller>, type: string, id: string, agents: string[] = []): string | undefined =>
  mayAsk(callerOf("a", rest), { subject: { type, id }, agents });

const never = (): never => {
  throw new Error("nothing is judged here");
};

const rejected = async (run: Promise<unknown>): Promise<string> => {
  const error: unknown = await run.then(
    () => new Error("nothing was thrown"),
    (reason: unknown) => reason,
  );
  if (error instanceof Problem) return error.code;
  throw error;
};

const at = 1_700_000_000_000_000;
const added = (caller: Caller): CallerCommand => ({
  id: uuidv7(at),
  at,
  caller: "admin",
  verb: "add",
  added: caller,
});
const revoked = (name: string): CallerCommand => ({
  id: uuidv7(at),
  at,
  caller: "admin",
  verb: "revoke",
  name,
});

const storeIn = (dir: string): CallerStore & { entries: () => unknown[]; close: () => void } => {
  const ledger = openLedger(join(dir, "remit.db"), { judge: never, admit: never, engine: "reference" });
  return {
    entries: () =>
      ledger.entries({ limit: 100, order: "asc" }).entries.map(({ index }) => ledger.entry(index)),
    changeCaller: async (command) => {
      const [done] = ledger.commit([{ kind: "caller", command }]);
      if (done && "problem" in done) throw new Problem(done.problem.code, done.problem.detail);
    },
    callers: async () => ledger.callers(),
    close: () => ledger.close(),
  };
};

describe("keys", () => {
  test("are 256 random bits behind a prefix that scanners find, and never the same twice", () => {
    const { key, keyHash } = newKey();
    expect(key).toMatch(/^remit_[\w-]{43}$/);
    expect(keyHash).toBe(hashKey(key));
    expect(newKey().key).not.toBe(key);
  });

  test("are kept as SHA-256, as `sha256sum` prints it", () => {
    expect(hashKey("abc")).toBe("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test("compare equal only with themselves, whatever their lengths", () => {
    expect(sameHash(hashKey("a"), hashKey("a"))).toBe(true);
    expect(sameHash(hashKey("a"), hashKey("b"))).toBe(false);
    expect(sameHash(hashKey("a"), "")).toBe(false);
    expect(sameHash(hashKey("a"), `${hashKey("a")}0`)).toBe(false);
  });
});

describe("the admin key", () => {
  test("is made at the first start, for its owner alone, and stays", () => {
    const data = join(folder(), "data");
    const { key, keyHash } = adminKey(data);
    expect(statSync(adminKeyFile(data)).mode & 0o777).toBe(0o600);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(keyHash).toBe(hashKey(key));
    expect(adminKey(data)).toEqual({ key, keyHash });
    expect(readFileSync(adminKeyFile(data), "utf8")).toBe(`${key}\n`);
  });

  test.each([0o640, 0o604, 0o660])("that others may read (mode %o) is refused, with the cure", (mode) => {
    const data = folder();
    adminKey(data);
    chmodSync(adminKeyFile(data), mode);
    expect(problemOf(() => adminKey(data)).detail).toContain(`chmod 600 ${adminKeyFile(data)}`);
  });

  test("that is empty, too short or missing is no key", () => {
    const data = folder();
    expect(problemOf(() => readAdminKey(data)).code).toBe("not_ready");
    for (const text of ["", "\n", "short\n"]) {
      writeFileSync(adminKeyFile(data), text, { mode: 0o600 });
      expect(problemOf(() => adminKey(data)).detail).toContain("holds no key");
    }
  });

  test("that isn't a file is refused", () => {
    const data = folder();
    mkdirSync(adminKeyFile(data), { mode: 0o700 });
    expect(() => adminKey(data)).toThrow();
  });
});

describe("authentication by key", () => {
  const first = newKey();
  const second = newKey();
  const admin = newKey();
  const callers = [
    callerOf("first", { keyHash: first.keyHash }),
    callerOf("second", { keyHash: second.keyHash }),
    callerOf("token", { oauth: { issuer: "https://as.example", audience: "a", clientId: "c" } }),
  ];
  const authenticate: Authenticate = createAuthenticator({
    callers: () => callers,
    adminKeyHash: admin.keyHash,
    issuers: [],
  });

  test("gives the caller of the key, at once", () => {
    expect(authenticate(`Bearer ${first.key}`)).toBe(callers[0]);
    expect(authenticate(`bearer  ${second.key} `)).toBe(callers[1]);
  });

  test("gives the administrator every scope and all detail", () => {
    expect(authenticate(`Bearer ${admin.key}`)).toMatchObject({
      name: "admin",
      scopes: [...scopes],
      detail: "admin",
    });
  });

  test("takes the administrator's key for nobody else's, even if a caller has it too", () => {
    const doubled = createAuthenticator({
      callers: () => [callerOf("thief", { keyHash: admin.keyHash })],
      adminKeyHash: admin.keyHash,
      issuers: [],
    });
    expect(doubled(`Bearer ${admin.key}`)).toMatchObject({ name: "admin" });
  });

  test("refuses everything else with one and the same answer", () => {
    const wrong = [
      "",
      "Bearer",
      "Bearer ",
      `Basic ${first.key}`,
      first.key,
      `Bearer ${first.key}x`,
      `Bearer ${first.key.slice(0, -1)}`,
      `Bearer ${first.key} ${first.key}`,
      `Bearer ${first.keyHash}`,
      `Bearer ${newKey().key}`,
      `Bearer undefined`,
      "Bearer sha256:",
    ];
    for (const header of wrong) {
      const { code, detail } = problemOf(() => authenticate(header));
      expect([header, code, detail]).toEqual([header, "unauthenticated", "the credentials are not accepted"]);
    }
  });

  test("never takes a guess for a key, nor throws anything but a problem", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `Bearer ${text}`),
        ),
        (header) => {
          // Three parts may be a token, which is answered later.
          if (/\..*\./.test(header)) return;
          expect(problemOf(() => authenticate(header)).code).toBe("unauthenticated");
        },
      ),
    );
  });

  test("looks at every caller, wherever the right one stands: no early exit", () => {
    for (const position of [0, 1, 2, 3]) {
      let seen = 0;
      const watched = Array.from({ length: 4 }, (_, at) => {
        const keyHash = at === position ? first.keyHash : newKey().keyHash;
        return Object.defineProperty(callerOf(`c${at}`), "keyHash", {
          get: () => {
            seen++;
            return keyHash;
          },
        });
      });
      const watch = createAuthenticator({
        callers: () => watched,
        adminKeyHash: admin.keyHash,
        issuers: [],
      });
      expect(watch(`Bearer ${first.key}`)).toBe(watched[position]);
      // Once to see whether there is a hash, once to compare.
      expect(seen).toBe(8);
    }
  });
});

describe("what a caller may ask about", () => {
  test("is everything, where nothing is said", () => {
    expect(asks({}, "User", "alice", ["x"])).toBe(undefined);
  });

  test.each([
    ["User::alice", "User", "alice", true],
    ["User::alice", "User", "alice2", false],
    ["User::alice", "user", "alice", false],
    ["User::*", "User", "", true],
    ["User::*", "User", "alice", true],
    ["User::*", "Agent", "alice", false],
    ["User::al*", "User", "alice", true],
    ["User::al*", "User", "bob", false],
    ["*", "User", "alice", true],
    ["User::*", "User::Admin", "alice", false],
    ["User::Admin::*", "User::Admin", "alice", true],
    ["User", "User", "alice", false],
    ["U*", "User", "alice", false],
  ])("the subject pattern %s and %s::%s: %s", (pattern, type, id, allowed) => {
    expect(asks({ subjects: [pattern] }, type, id)).toBe(allowed ? undefined : "subject");
  });

  test("is a subject that any pattern takes, and agents that each have a pattern", () => {
    const caller = { subjects: ["User::a", "User::b"], agents: ["spiffe://x/*", "y"] };
    expect(asks(caller, "User", "b")).toBe(undefined);
    expect(asks(caller, "User", "c", ["y"])).toBe("subject");
    expect(asks(caller, "User", "a", ["spiffe://x/1", "y"])).toBe(undefined);
    expect(asks(caller, "User", "a", ["spiffe://x/1", "z"])).toBe("agent");
    expect(asks(caller, "User", "a", ["yy"])).toBe("agent");
  });
});

describe("the list of callers", () => {
  test("joins configured and added callers; a revoked one is out with the answer, and its name stays taken", async () => {
    const dir = folder();
    const store = storeIn(dir);
    const list = await createCallerList([callerOf("file", { keyHash: hashKey("f") })], store);
    await list.changeCaller(added(callerOf("added", { keyHash: hashKey("a"), subjects: ["User::*"] })));
    expect(list.active().map(({ name }) => name)).toEqual(["file", "added"]);
    await list.changeCaller(revoked("added"));
    expect(list.active().map(({ name }) => name)).toEqual(["file"]);
    expect(await rejected(list.changeCaller(added(callerOf("added", { keyHash: hashKey("b") }))))).toBe(
      "conflict",
    );
    const all = await list.callers();
    expect(all.map(({ name, revokedAt }) => [name, revokedAt !== undefined])).toEqual([
      ["file", false],
      ["added", true],
    ]);
    store.close();
  });

  test("is as it was after a restart, and a revocation doesn't reopen the service", async () => {
    const dir = folder();
    const before = storeIn(dir);
    const list = await createCallerList([], before);
    expect(list.none()).toBe(true);
    await list.changeCaller(
      added(callerOf("one", { keyHash: hashKey("1"), detail: "user", actorRequired: true })),
    );
    await list.changeCaller(added(callerOf("two", { keyHash: hashKey("2") })));
    await list.changeCaller(revoked("two"));
    before.close();
    const after = storeIn(dir);
    const again = await createCallerList([], after);
    expect(again.active()).toEqual([
      expect.objectContaining(
        callerOf("one", { keyHash: hashKey("1"), detail: "user", actorRequired: true }),
      ),
    ]);
    await again.changeCaller(revoked("one"));
    expect(again.active()).toEqual([]);
    expect(again.none()).toBe(false);
    after.close();
  });

  test("tells in an entry who added or revoked whom, with what it may do, and nothing of its key", async () => {
    const store = storeIn(folder());
    const list = await createCallerList([], store);
    const caller = callerOf("one", { keyHash: hashKey("1"), subjects: ["User::ann"], agents: ["a*"] });
    await list.changeCaller(added(caller));
    expect(await rejected(list.changeCaller(added(caller)))).toBe("conflict");
    await list.changeCaller({ ...revoked("one"), caller: "second-admin" });
    await list.changeCaller(revoked("one"));
    const entries = store.entries();
    const of = { name: "one", authenticates_by: "key", scopes: ["evaluate"] };
    const may = { subjects: ["User::ann"], agents: ["a*"], detail: "plain", actorRequired: false };
    expect(entries).toMatchObject([
      { leaf: { rec: { kind: "caller.add", caller: "admin", ...of } }, detail: may },
      { leaf: { rec: { kind: "caller.revoke", caller: "second-admin", name: "one" } } },
    ]);
    expect(JSON.stringify(entries)).not.toContain(hashKey("1").slice(7));
    expect(JSON.stringify(entries).split("User::ann")).toHaveLength(2);
    store.close();
  });

  test("takes a key once: not that of a configured, an added or a revoked caller", async () => {
    const store = storeIn(folder());
    const list = await createCallerList([callerOf("file", { keyHash: hashKey("f") })], store);
    await list.changeCaller(added(callerOf("one", { keyHash: hashKey("1") })));
    const add = (name: string, key: string): Promise<string> =>
      rejected(list.changeCaller(added(callerOf(name, { keyHash: hashKey(key) }))));
    expect([await add("two", "f"), await add("two", "1")]).toEqual(["conflict", "conflict"]);
    await list.changeCaller(revoked("one"));
    expect(await add("two", "1")).toBe("conflict");
    await list.changeCaller(added(callerOf("two", { keyHash: hashKey("2") })));
    store.close();
  });

  test("refuses names that are reserved, configured or unfit, and revoking what it doesn't keep", async () => {
    const store = storeIn(folder());
    const list = await createCallerList([callerOf("file", { keyHash: hashKey("f") })], store);
    const add = (name: string): Promise<string> =>
      rejected(list.changeCaller(added(callerOf(name, { keyHash: hashKey(name) }))));
    expect(await add("admin")).toBe("conflict");
    expect(await add("local")).toBe("conflict");
    expect(await add("file")).toBe("conflict");
    for (const name of ["", "a b", "-a", "a\u001b[2J", "a".repeat(65)])
      expect(await add(name)).toBe("invalid_request");
    expect(await rejected(list.changeCaller(revoked("file")))).toBe("conflict");
    expect(await rejected(list.changeCaller(revoked("nobody")))).toBe("not_found");
    store.close();
  });
});
