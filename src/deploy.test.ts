/** What `deploy/` says is true of this service: its ports, paths, settings, folders and times, and that it runs with few rights. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { repository, startTestService, tempDir, type TestService } from "../conformance-tests/service.ts";
import { program } from "./cli/program.ts";
import type { Config } from "./config/config.ts";
import { loadConfig } from "./config/load.ts";
import { readYaml } from "./kit/yaml.ts";

const read = (path: string): string => readFileSync(join(repository, path), "utf8");
const yaml = (path: string): any => {
  const file = readYaml(path, read(path));
  if ("errors" in file) throw new Error(JSON.stringify(file.errors));
  return file.value;
};

/** Instructions with their arguments, continued lines joined. */
const instructions = read("deploy/Containerfile")
  .replaceAll(/^#.*\n/gm, "")
  .replaceAll(/\\\n\s*/g, " ")
  .split("\n")
  .filter((line) => line !== "")
  .map((line): [string, string] => [line.split(" ", 1)[0]!, line.slice(line.indexOf(" ") + 1)]);
const argumentsOf = (name: string): string[] =>
  instructions.filter(([each]) => each === name).map(([, rest]) => rest);
const imageEnvironment = Object.fromEntries(
  [
    ...argumentsOf("ENV")
      .join(" ")
      .matchAll(/(\w+)=(\S+)/g),
  ].map(([, name, value]) => [name!, value!]),
);

const compose = yaml("deploy/compose.yaml");
const composed = compose.services.pdp;
const set = yaml("deploy/kubernetes/stateful-set.yaml");
const pod = set.spec.template.spec;
const container = pod.containers[0];
const podEnvironment: Record<string, string> = Object.fromEntries(
  container.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
);
const unit = read("deploy/remit.service");
const unitValues = (name: string): string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value!);

/** The configuration in force under such an environment, where `deploy/remit.yaml` is the file. */
const configUnder = (environment: Record<string, string>): Config => {
  const settings = Object.entries(environment).filter(([name]) => name.startsWith("REMIT_"));
  const env = { ...Object.fromEntries(settings), REMIT_CONFIG: join(repository, "deploy/remit.yaml") };
  return loadConfig({ flags: {}, env, cwd: tempDir() });
};
const port = 8181;
const graceMs = loadConfig({ flags: {}, env: {}, cwd: tempDir() }).shutdownGraceMs;

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

describe("the container file", () => {
  const copies = argumentsOf("COPY").map((rest) => rest.split(" "));
  const fromContext = copies
    .filter(([first]) => !first!.startsWith("--from"))
    .map((words) => words.slice(0, -1));

  test("copies what is there, and the context holds what it copies", () => {
    const sources = fromContext.flat();
    expect(sources.length).toBeGreaterThan(10);
    expect(sources.filter((path) => !existsSync(join(repository, path)))).toEqual([]);
    const [all, ...kept] = read("deploy/Containerfile.dockerignore").trim().split("\n");
    expect(all).toBe("*");
    expect(new Set(kept)).toEqual(new Set(sources.map((path) => `!${path}`)));
  });

  test("holds what the package holds", () => {
    const { files } = JSON.parse(read("package.json")) as { files: string[] };
    const copied = new Set(copies.flat().map((path) => path.replace("/build/", "")));
    expect(files.filter((path) => !path.startsWith("!") && !copied.has(path))).toEqual([]);
  });

  test("can bring what traces need: each optional peer of OpenTelemetry, in a version that fits", async () => {
    const [, script] = / \$\(node -p "(.+)"\) /.exec(argumentsOf("RUN").join("\n"))!;
    const { stdout } = await promisify(execFile)(process.execPath, ["-p", script!], { cwd: repository });
    const { peerDependencies } = JSON.parse(read("package.json")) as {
      peerDependencies: Record<string, string>;
    };
    const peers = Object.keys(peerDependencies).filter((name) => name.startsWith("@opentelemetry/"));
    expect(peers.length).toBeGreaterThan(3);
    const brought = stdout.trim().split(" ");
    expect(brought.map((each) => each.slice(0, each.lastIndexOf("@")))).toEqual(peers);
    for (const each of brought) expect(each).toMatch(/@[~^]?\d+\.\d+\.\d+$/);
  });

  test("pins its base by a full version, of a Node that the package supports", () => {
    const bases = argumentsOf("FROM").map((rest) => rest.split(" ")[0]!);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:2[024]\.\d+\.\d+-[a-z]+-slim$/);
  });

  test("runs as somebody who isn't root, given as a number", () => {
    expect(argumentsOf("USER")).toEqual([expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)]);
    const afterUser = instructions.slice(instructions.findIndex(([name]) => name === "USER"));
    expect(afterUser.map(([name]) => name)).not.toContain("RUN");
  });

  test("sets only settings that there are; its port is the one that it exposes and asks for its health", () => {
    const config = configUnder(imageEnvironment);
    expect(config.listen).toEqual({ host: "0.0.0.0", port });
    expect(argumentsOf("EXPOSE")).toEqual([`${port}`]);
    expect(argumentsOf("HEALTHCHECK").join("")).toContain(`http://127.0.0.1:${port}/healthz`);
    expect(config.data).toBe(join(argumentsOf("VOLUME")[0]!, "data"));
  });

  test("tells by its health check whether the service answers", async () => {
    const [, json] = /CMD (\[.*\])$/.exec(argumentsOf("HEALTHCHECK")[0]!)!;
    const [, ...words] = JSON.parse(json!) as string[];
    const check = (address: string): Promise<number> =>
      promisify(execFile)(
        process.execPath,
        words.map((word) => word.replace(`http://127.0.0.1:${port}`, address)),
      ).then(
        () => 0,
        ({ code }: { code: number }) => code,
      );
    expect(await check(service.url)).toBe(0);
    expect(await check(`${service.url}/no-such-thing`)).toBe(1);
    expect(await check("http://127.0.0.1:1")).toBe(1);
  });
});

describe("the Compose file", () => {
  test("gives the service a read-only root, no rights, and one volume for its data", () => {
    expect(composed).toMatchObject({
      user: argumentsOf("USER")[0],
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
    });
    const writable = (composed.volumes as string[]).filter((volume) => !volume.endsWith(":ro"));
    expect(writable).toEqual([`remit-data:${argumentsOf("VOLUME")[0]}`]);
    expect(compose.volumes).toHaveProperty("remit-data");
  });

  test("mounts folders and files that are there, to where the service looks", () => {
    const config = configUnder({ ...imageEnvironment, ...composed.environment });
    const mounts = (composed.volumes as string[]).slice(1).map((volume) => volume.split(":"));
    expect(mounts.map(([, target]) => target)).toEqual([config.policies, config.schemas]);
    for (const [source] of mounts) expect(existsSync(join(repository, "deploy", source!))).toBe(true);
    expect(existsSync(join(repository, "deploy", compose.secrets["remit.yaml"].file))).toBe(true);
    expect(composed.environment.REMIT_CONFIG).toBe(`/run/secrets/${composed.secrets[0]}`);
    const { context, dockerfile } = composed.build;
    expect(existsSync(join(repository, "deploy", context, dockerfile))).toBe(true);
  });

  test("publishes the service's port to its own machine, and waits for it to end", () => {
    expect(composed.ports).toEqual([`127.0.0.1:${port}:${port}`]);
    expect(Number.parseInt(composed.stop_grace_period, 10) * 1000).toBeGreaterThan(graceMs);
  });
});

describe("the Kubernetes manifests", () => {
  const mountOf = (name: string): string =>
    container.volumeMounts.find((mount: { name: string }) => mount.name === name).mountPath;

  test("are all applied, and no others", () => {
    const { resources } = yaml("deploy/kubernetes/kustomization.yaml");
    const files = readdirSync(join(repository, "deploy/kubernetes"));
    expect(new Set([...resources, "kustomization.yaml"])).toEqual(new Set(files));
  });

  test("run one process on one volume that no second pod can mount", () => {
    expect(set).toMatchObject({ kind: "StatefulSet", spec: { replicas: 1 } });
    expect(set.spec.volumeClaimTemplates).toMatchObject([
      { metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOncePod"] } },
    ]);
    expect(dirname(configUnder(podEnvironment).data)).toBe(mountOf("data"));
  });

  test("give no rights: no root, a read-only root, no capabilities, no account", () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: Number(argumentsOf("USER")[0]!.split(":")[0]),
        seccompProfile: { type: "RuntimeDefault" },
      },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const readOnly = container.volumeMounts.filter(
      (mount: { readOnly?: boolean }) => mount.readOnly !== true,
    );
    expect(readOnly.map(({ name }: { name: string }) => name)).toEqual(["data", "tmp"]);
  });

  test("leave the keys to their owner, whom Remit believes no others to read", () => {
    expect(pod.securityContext.fsGroupChangePolicy).toBe("OnRootMismatch");
    expect(podEnvironment["REMIT_DATA"]).not.toBe(mountOf("data"));
  });

  test("keep the variables of services away, since they would stop the start", () => {
    expect(() => configUnder({ ...podEnvironment, REMIT_SERVICE_HOST: "10.0.0.1" })).toThrow(
      /REMIT_SERVICE_HOST/,
    );
    expect(pod.enableServiceLinks).toBe(false);
  });

  test("mount configuration as a secret, and every folder that the service reads", () => {
    const config = configUnder(podEnvironment);
    expect([config.policies, config.schemas, config.entities]).toEqual(
      ["policies", "schemas", "entities"].map(mountOf),
    );
    expect(dirname(podEnvironment["REMIT_CONFIG"]!)).toBe(mountOf("config"));
    const volume = pod.volumes.find(({ name }: { name: string }) => name === "config");
    expect(volume.secret).toEqual({ secretName: "remit-config", defaultMode: 0o440 });
  });

  test("name ports that are there, and are selected by labels that the pod bears", () => {
    const [{ name, containerPort }] = container.ports;
    expect(configUnder(podEnvironment).listen).toEqual({ host: "0.0.0.0", port: containerPort });
    const { spec } = yaml("deploy/kubernetes/service.yaml");
    expect(spec.ports).toMatchObject([{ port, targetPort: name }]);
    const policy = yaml("deploy/kubernetes/network-policy.yaml").spec;
    expect(policy.ingress[0].ports).toMatchObject([{ port: name }]);
    for (const labels of [spec.selector, policy.podSelector.matchLabels, set.spec.selector.matchLabels])
      expect(set.spec.template.metadata.labels).toEqual(labels);
  });

  test.each(["startupProbe", "livenessProbe", "readinessProbe"])(
    "ask by %s for what is served",
    async (name) => {
      const probe = container[name].httpGet;
      expect(probe).toEqual({
        path: name === "readinessProbe" ? "/readyz" : "/healthz",
        port: container.ports[0].name,
      });
      // As a kubelet asks: without a key, by the pod's address.
      expect((await fetch(`${service.url}${probe.path}`)).status).toBe(200);
    },
  );

  test("wait for the service to end", () => {
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(graceMs);
  });
});

describe("the systemd unit", () => {
  const words = unitValues("ExecStart")[0]!.split(" ");

  test("starts the service with options that there are, on folders that it may use", () => {
    expect(words.slice(0, 3)).toEqual(["/usr/bin/env", "remit", "serve"]);
    const serve = program().commands.find((command) => command.name() === "serve")!;
    const known = new Set(serve.options.map(({ long }) => long));
    const options = words.filter((word) => word.startsWith("--"));
    expect(options.length).toBeGreaterThan(2);
    expect(options.filter((option) => !known.has(option))).toEqual([]);
    expect(words[words.indexOf("--data") + 1]).toBe(`/var/lib/${unitValues("StateDirectory")[0]}`);
    expect(words[words.indexOf("--listen") + 1]).toBe(`127.0.0.1:${port}`);
  });

  test("gives it a user of its own and as few rights as it runs with", () => {
    expect(read("deploy/remit.sysusers")).toContain(`\nu ${unitValues("User")[0]} `);
    const rights = {
      NoNewPrivileges: "yes",
      ProtectSystem: "strict",
      ProtectHome: "yes",
      PrivateTmp: "yes",
      PrivateDevices: "yes",
      CapabilityBoundingSet: "",
      StateDirectoryMode: "0700",
      UMask: "0077",
    };
    const given = Object.keys(rights).map((name) => [name, unitValues(name).join()]);
    expect(Object.fromEntries(given)).toEqual(rights);
    // V8 and Cedar's WebAssembly compile at run time.
    expect(unitValues("MemoryDenyWriteExecute")).toEqual([]);
  });

  test("waits for the service to end", () => {
    expect(Number(unitValues("TimeoutStopSec")[0]) * 1000).toBeGreaterThan(graceMs);
  });
});

test("nothing in it tells a secret, and the shipped configuration lets nobody in", () => {
  expect(configUnder(imageEnvironment).callers).toEqual([]);
});
