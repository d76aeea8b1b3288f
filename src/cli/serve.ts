/** `remit serve`: runs the service until it is told to stop. */
import { Command } from "commander";
import { type CommonOptions, configOf, withCommonOptions } from "./options.ts";

const serve = async (options: CommonOptions & { listen?: string }): Promise<void> => {
  const config = configOf(options);
  const { startService } = await import("../app.ts");
  const service = await startService(config);
  let stopping = false;
  const stop = (): void => {
    // Whoever asks twice doesn't want to wait.
    if (stopping) process.exit(1);
    stopping = true;
    service.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`remit: stopping failed: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  // Whoever reads these lines may stop the service from here on.
  for (const line of service.summary) process.stdout.write(`${line}\n`);
};

export const serveCommand = (): Command =>
  withCommonOptions(new Command("serve"))
    .description("run the service")
    .option("--listen <host:port>", "address to listen on")
    .action(serve);
