/** The one place that reads the process's environment. */

export const environment = (): Readonly<Record<string, string | undefined>> =>
  // oxlint-disable-next-line node/no-process-env -- this is that place
  process.env;
